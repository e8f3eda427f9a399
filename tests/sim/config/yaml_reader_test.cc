#include "sim/config/yaml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace sparseserve::config {
namespace {

using testing::ElementsAre;

std::string WhatOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(YamlReaderTest, ReadsEveryKindOfValueWithItsUnit) {
  const Node root = LoadYamlString(
      "name: a100\nhbm: 80GB\nblock: 16 KiB\nrate: 3.35TB/s\nlatency: 5us\npeak: 312TFLOP/s\n"
      "work: 2GFLOP\narrivals: 15/min\nshare: 0.9\nsms: 108\nseed: 18446744073709551615\n"
      "context: 32768\non: true\nlist: [1, 2]\n",
      "a.yaml");
  MapReader reader(root);
  std::string name;
  Bytes hbm, block;
  BytesPerSecond rate;
  Seconds latency;
  FlopsPerSecond peak;
  Flops work;
  double arrivals = 0, share = 0;
  int sms = 0;
  std::uint64_t seed = 0;
  Tokens context;
  bool on = false;
  std::vector<double> list;
  reader.Required("name", name);
  reader.Required("hbm", hbm);
  reader.Required("block", block);
  reader.Required("rate", rate);
  reader.Required("latency", latency);
  reader.Required("peak", peak);
  reader.Required("work", work);
  reader.Required("arrivals", arrivals, {.real = RealKind::kPerSecond});
  reader.Required("share", share, {.real = RealKind::kFraction});
  reader.Required("sms", sms, {.min = 1});
  reader.Required("seed", seed);
  reader.Required("context", context);
  reader.Required("on", on);
  reader.Required("list", list);
  reader.Finish();
  EXPECT_EQ(name, "a100");
  EXPECT_EQ(hbm, Bytes(80'000'000'000));
  EXPECT_EQ(block, Bytes(16384));
  EXPECT_EQ(rate, BytesPerSecond(3.35e12));
  EXPECT_EQ(latency, Seconds(5e-6));
  EXPECT_EQ(peak, FlopsPerSecond(312e12));
  EXPECT_EQ(work, Flops(2e9));
  EXPECT_EQ(arrivals, 0.25);
  EXPECT_EQ(share, 0.9);
  EXPECT_EQ(sms, 108);
  EXPECT_EQ(seed, 18446744073709551615U);
  EXPECT_EQ(context, Tokens(32768));
  EXPECT_TRUE(on);
  EXPECT_THAT(list, ElementsAre(1, 2));
}

enum class Color : std::uint8_t { kRed, kBlue };
constexpr EnumName<Color> kColors[] = {{"red", Color::kRed}, {"blue", Color::kBlue}};

TEST(YamlReaderTest, OptionalKeepsTheDefaultAndEnumsGoByName) {
  const Node root = LoadYamlString("paint: blue\n", "a.yaml");
  MapReader reader(root);
  Color paint = Color::kRed, other = Color::kBlue;
  std::vector<Bytes> sizes = {Bytes(4096)};
  reader.RequiredEnum("paint", paint, kColors);
  reader.OptionalEnum("other", other, kColors);
  reader.Optional("sizes", sizes);
  reader.Finish();
  EXPECT_EQ(paint, Color::kBlue);
  EXPECT_EQ(other, Color::kBlue);
  EXPECT_THAT(sizes, ElementsAre(Bytes(4096)));
}

TEST(YamlReaderTest, AWrongValueLeavesItsTargetAlone) {
  const Node root = LoadYamlString("hbm: 80\nsizes: [1KiB, 2]\n", "a.yaml");
  MapReader reader(root);
  Bytes hbm(7);
  std::vector<Bytes> sizes = {Bytes(7)};
  reader.Required("hbm", hbm);
  reader.Required("sizes", sizes);
  EXPECT_THROW(reader.Finish(), InputError);
  EXPECT_EQ(hbm, Bytes(7));
  EXPECT_THAT(sizes, ElementsAre(Bytes(7)));
}

TEST(YamlReaderTest, AllProblemsComeAtOnceUnknownKeysFirst) {
  const Node root = LoadYamlString("smss: 5\nlatency: 3\nhost: {corse: 1}\n", "a.yaml");
  MapReader reader(root);
  int sms = 0, cores = 0;
  Seconds latency;
  reader.Required("sms", sms);
  reader.Required("latency", latency);
  reader.Map("host").Required("cores", cores);
  reader.AddProblem("latency", {"is odd", "", ""});
  EXPECT_EQ(WhatOf([&] { reader.Finish(); }),
            "a.yaml:1: smss: unknown key; expected sms, latency or host; did you mean 'sms'?\n"
            "a.yaml:3: host.corse: unknown key; expected cores; did you mean 'cores'?\n"
            "a.yaml:1: sms: missing key; expected an integer\n"
            "a.yaml:2: latency: '3' has no unit; expected a number with a unit: s, ms, us, ns, min "
            "or h\n"
            "a.yaml:3: host.cores: missing key; expected an integer\n"
            "a.yaml:2: latency: is odd");
}

TEST(YamlReaderTest, TwentyProblemsAreShownAndTheRestCounted) {
  std::string text;
  for (int i = 0; i < 23; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const Node root = LoadYamlString(text, "a.yaml");
  MapReader reader(root);
  const std::string what = WhatOf([&] { reader.Finish(); });
  EXPECT_EQ(std::count(what.begin(), what.end(), '\n'), 20);
  EXPECT_TRUE(what.starts_with("a.yaml:1: key0: unknown key; expected no keys here\n")) << what;
  EXPECT_TRUE(what.ends_with("\na.yaml: 3 more problems")) << what;
}

TEST(YamlReaderTest, AnAbsentOptionalMapRequiresNothingAndAMissingOneIsOneProblem) {
  const Node root = LoadYamlString("a: 1\n", "a.yaml");
  MapReader reader(root);
  int value = 5, a = 0;
  reader.Required("a", a);
  MapReader optional = reader.OptionalMap("optional");
  optional.Required("value", value);
  reader.Map("needed").Required("value", value);
  EXPECT_EQ(WhatOf([&] { reader.Finish(); }), "a.yaml:1: needed: missing key; expected a mapping");
  EXPECT_EQ(value, 5);
}

void ReadSystems(MapReader& reader) {
  std::string name = "all", unset;
  Bytes budget(16384);
  reader.Optional("name", name, {.doc = "of the run"});
  MapReader cache = reader.OptionalMap("cache");
  cache.Optional("budget", budget, {.doc = "per head", .min = 1024});
  reader.OptionalMap("extra").Required("value", unset);
  for (MapReader& system : reader.Maps("systems", "to compare")) {
    double share = 0.5;
    system.Required("name", unset, {.doc = "label"});
    system.Optional("share", share, {.real = RealKind::kFraction});
  }
  reader.Raw("anything");
}

TEST(YamlReaderTest, TheSchemaIsWhatTheGettersAskFor) {
  Schema schema;
  const Node root = LoadYamlString("systems: [{name: x}, {name: y}]\n", "a.yaml");
  MapReader reader(root, &schema);
  ReadSystems(reader);
  reader.Finish();
  std::vector<std::string> lines;
  for (const SchemaEntry& entry : schema) {
    lines.push_back(entry.path + "|" + entry.type + "|" + entry.default_text + "|" +
                    entry.accepted + "|" + entry.doc);
  }
  EXPECT_THAT(lines,
              ElementsAre("name|string|all|a text|of the run", "cache|mapping|{}|a mapping|",
                          "cache.budget|bytes|16KiB|a number >= 1KiB with a unit: B, kB, MB, GB, "
                          "TB, KiB, MiB, GiB or TiB|per head",
                          "extra|mapping|{}|a mapping|", "extra.value|string||a text|",
                          "systems|list of mappings|[]|a list of mappings|to compare",
                          "systems[].name|string||a text|label",
                          "systems[].share|fraction|0.5|a number between 0 and 1|",
                          "anything|any|null|any value|"));
}

TEST(YamlReaderTest, TheResolvedConfigurationHasTheDefaultsAndReadsBackTheSame) {
  Node root = LoadYamlString("systems: [{name: x}, {share: 0.25, name: y}]\n", "a.yaml");
  std::string text;
  for (int round = 0; round < 2; ++round) {
    MapReader reader(root);
    ReadSystems(reader);
    reader.Finish();
    text = ToYaml(reader.Resolved());
    EXPECT_EQ(text,
              "name: all\ncache:\n  budget: 16KiB\nsystems:\n  - name: x\n    share: 0.5\n"
              "  - name: y\n    share: 0.25\n");
    root = LoadYamlString(text, "resolved.yaml");
  }
}

TEST(YamlReaderDeathTest, ForgettingFinishIsCaught) {
  const Node root = LoadYamlString("a: 1\n", "a.yaml");
  EXPECT_DEATH({ MapReader reader(root); }, "Finish\\(\\) was not called");
}

}  // namespace
}  // namespace sparseserve::config
