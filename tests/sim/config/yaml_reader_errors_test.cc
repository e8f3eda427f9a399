// Every way in which a file can be wrong, with the exact message that the user sees. Among them are
// the traps of yaml-cpp 0.7: a repeated key, 010, .nan, yes, 0x10, and messages without a key.
#include <gtest/gtest.h>

#include "sim/config/yaml_reader.h"

namespace sparseserve::config {
namespace {

// Reads `text` as a small file in which only `hbm` is required; returns what() or "accepted".
std::string Read(const std::string& text) {
  try {
    const Node root = LoadYamlString(text, "m.yaml");
    MapReader reader(root);
    std::string name, policy = "lru";
    Bytes hbm;
    BytesPerSecond link;
    Seconds latency;
    FlopsPerSecond peak;
    std::int64_t sms = 1;
    std::uint64_t seed = 0;
    double share = 1, rate = 1, slope = 0;
    bool on = true;
    std::vector<Bytes> sizes;
    reader.Required("hbm", hbm, {.positive = true});
    reader.Optional("name", name);
    reader.Optional("policy", policy, {.one_of = {"lru", "sieve", "arc"}});
    reader.Optional("link", link);
    reader.Optional("latency", latency, {.max = 1});
    reader.Optional("peak", peak);
    reader.Optional("sms", sms, {.min = 1, .max = 1000});
    reader.Optional("seed", seed);
    reader.Optional("share", share, {.real = RealKind::kFraction});
    reader.Optional("rate", rate, {.real = RealKind::kPerSecond});
    reader.Optional("slope", slope, {.min = -1, .max = 1});
    reader.Optional("on", on);
    reader.Optional("sizes", sizes);
    MapReader host = reader.OptionalMap("host");
    std::int64_t cores = 1;
    host.Optional("cores", cores, {.min = 1});
    for (MapReader& system : reader.Maps("systems")) system.Required("name", name);
    reader.Finish();
    return "accepted";
  } catch (const InputError& error) {
    return error.what();
  }
}

struct Case {
  const char* text;
  const char* message;
};

class YamlReaderErrorsTest : public testing::TestWithParam<Case> {};

TEST_P(YamlReaderErrorsTest, NamesFileLineKeyAndWhatIsAccepted) {
  EXPECT_EQ(Read(GetParam().text), GetParam().message) << GetParam().text;
}

const Case kScalars[] = {
    {"hbm: 80",
     "m.yaml:1: hbm: '80' has no unit; expected a number above 0 with a unit: B, kB, MB, GB, TB, "
     "KiB, MiB, GiB or TiB"},
    {"hbm: 80GBs",
     "m.yaml:1: hbm: '80GBs' has the unknown unit 'GBs'; expected a number above 0 with a unit: B, "
     "kB, MB, GB, TB, KiB, MiB, GiB or TiB; did you mean 'GB'?"},
    {"hbm: 80gb",
     "m.yaml:1: hbm: '80gb' has the unknown unit 'gb'; expected a number above 0 with a unit: B, "
     "kB, MB, GB, TB, KiB, MiB, GiB or TiB; did you mean 'GB'?"},
    {"hbm: 80Gib",
     "m.yaml:1: hbm: '80Gib' has the unknown unit 'Gib'; expected a number above 0 with a unit: B, "
     "kB, MB, GB, TB, KiB, MiB, GiB or TiB; did you mean 'GiB'?"},
    {"hbm: -1GB",
     "m.yaml:1: hbm: '-1GB' is out of range; expected a number above 0 with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
    {"hbm: 0",
     "m.yaml:1: hbm: '0' is out of range; expected a number above 0 with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
    {"hbm: 1.5B",
     "m.yaml:1: hbm: '1.5B' is not a whole number of bytes; expected a number above 0 with a unit: "
     "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"},
    {"hbm: 9e18GB",
     "m.yaml:1: hbm: '9e18GB' is too large; expected a number above 0 with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
    {"hbm: 1e400GB",
     "m.yaml:1: hbm: '1e400GB' is too large; expected a number above 0 with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
    {"hbm: 080GB",
     "m.yaml:1: hbm: '080GB' has a leading zero; expected a number above 0 with a unit: B, kB, MB, "
     "GB, TB, KiB, MiB, GiB or TiB; leave the zero out"},
    {"hbm: lots",
     "m.yaml:1: hbm: 'lots' is not a number; expected a number above 0 with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
    {"hbm: .nan",
     "m.yaml:1: hbm: '.nan' is not a number; expected a number above 0 with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
    {"hbm: 80  GB",
     "m.yaml:1: hbm: '80  GB' has the unknown unit ' GB'; expected a number above 0 with a unit: "
     "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB; did you mean 'GB'?"},
    {"hbm: 1_000B",
     "m.yaml:1: hbm: '1_000B' has the unknown unit '_000B'; expected a number above 0 with a unit: "
     "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"},
    {"hbm: 80GB/s",
     "m.yaml:1: hbm: '80GB/s' has the unknown unit 'GB/s'; expected a number above 0 with a unit: "
     "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB; did you mean 'GB'?"},
    {"hbm: 0x10GB",
     "m.yaml:1: hbm: '0x10GB' has the unknown unit 'x10GB'; expected a number above 0 with a unit: "
     "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"},
    {"hbm: 8000000000000GB",
     "m.yaml:1: hbm: '8000000000000GB' is too large; expected a number above 0 with a unit: B, kB, "
     "MB, GB, TB, KiB, MiB, GiB or TiB"},
    {"hbm: 1GB\nlink: 32GB",
     "m.yaml:2: link: '32GB' has the unknown unit 'GB'; expected a number with a unit: B/s, kB/s, "
     "MB/s, GB/s, TB/s, KiB/s, MiB/s, GiB/s or TiB/s"},
    {"hbm: 1GB\nlink: 32GBps",
     "m.yaml:2: link: '32GBps' has the unknown unit 'GBps'; expected a number with a unit: B/s, "
     "kB/s, MB/s, GB/s, TB/s, KiB/s, MiB/s, GiB/s or TiB/s; did you mean 'GB/s'?"},
    {"hbm: 1GB\nlink: 3Tb/s",
     "m.yaml:2: link: '3Tb/s' has the unknown unit 'Tb/s'; expected a number with a unit: B/s, "
     "kB/s, MB/s, GB/s, TB/s, KiB/s, MiB/s, GiB/s or TiB/s; did you mean 'TB/s'?"},
    {"hbm: 1GB\nlink: 32",
     "m.yaml:2: link: '32' has no unit; expected a number with a unit: B/s, kB/s, MB/s, GB/s, "
     "TB/s, KiB/s, MiB/s, GiB/s or TiB/s"},
    {"hbm: 1GB\nlatency: 5",
     "m.yaml:2: latency: '5' has no unit; expected a number between 0s and 1s with a unit: s, ms, "
     "us, ns, min or h"},
    {"hbm: 1GB\nlatency: 5 usec",
     "m.yaml:2: latency: '5 usec' has the unknown unit 'usec'; expected a number between 0s and 1s "
     "with a unit: s, ms, us, ns, min or h; did you mean 'us'?"},
    {"hbm: 1GB\nlatency: 2s",
     "m.yaml:2: latency: '2s' is out of range; expected a number between 0s and 1s with a unit: s, "
     "ms, us, ns, min or h"},
    {"hbm: 1GB\nlatency: .inf",
     "m.yaml:2: latency: '.inf' is not a number; expected a number between 0s and 1s with a unit: "
     "s, ms, us, ns, min or h"},
    {"hbm: 1GB\npeak: 312",
     "m.yaml:2: peak: '312' has no unit; expected a number with a unit: FLOP/s, kFLOP/s, MFLOP/s, "
     "GFLOP/s, TFLOP/s or PFLOP/s"},
    {"hbm: 1GB\npeak: 312TFLOPS",
     "m.yaml:2: peak: '312TFLOPS' has the unknown unit 'TFLOPS'; expected a number with a unit: "
     "FLOP/s, kFLOP/s, MFLOP/s, GFLOP/s, TFLOP/s or PFLOP/s; did you mean 'TFLOP/s'?"},
    {"hbm: 1GB\nsms: 010",
     "m.yaml:2: sms: '010' is not an integer; expected an integer between 1 and 1000; leave out "
     "the leading zero: octal and hexadecimal are not read"},
    {"hbm: 1GB\nsms: 0x10",
     "m.yaml:2: sms: '0x10' is not an integer; expected an integer between 1 and 1000"},
    {"hbm: 1GB\nsms: 1e2",
     "m.yaml:2: sms: '1e2' is not an integer; expected an integer between 1 and 1000; write 100"},
    {"hbm: 1GB\nsms: 3.5",
     "m.yaml:2: sms: '3.5' is not an integer; expected an integer between 1 and 1000"},
    {"hbm: 1GB\nsms: 0",
     "m.yaml:2: sms: '0' is out of range; expected an integer between 1 and 1000"},
    {"hbm: 1GB\nsms: 1001",
     "m.yaml:2: sms: '1001' is out of range; expected an integer between 1 and 1000"},
    {"hbm: 1GB\nsms: 9999999999999999999999",
     "m.yaml:2: sms: '9999999999999999999999' is too large; expected an integer between 1 and "
     "1000"},
    {"hbm: 1GB\nsms: 12 34",
     "m.yaml:2: sms: '12 34' is not an integer; expected an integer between 1 and 1000"},
    {"hbm: 1GB\nsms: +5",
     "m.yaml:2: sms: '+5' is not an integer; expected an integer between 1 and 1000"},
    {"hbm: 1GB\nsms: '8 '",
     "m.yaml:2: sms: '8 ' is not an integer; expected an integer between 1 and 1000; write 8"},
    {"hbm: 1GB\nseed: -5", "m.yaml:2: seed: '-5' is out of range; expected an integer >= 0"},
    {"hbm: 1GB\nshare: 1.5",
     "m.yaml:2: share: '1.5' is out of range; expected a number between 0 and 1"},
    {"hbm: 1GB\nshare: 90%",
     "m.yaml:2: share: '90%' is not a plain number; expected a number between 0 and 1; write 0.9"},
    {"hbm: 1GB\nshare: .nan",
     "m.yaml:2: share: '.nan' is not a number; expected a number between 0 and 1"},
    {"hbm: 1GB\nshare: .inf",
     "m.yaml:2: share: '.inf' is not a number; expected a number between 0 and 1"},
    {"hbm: 1GB\nshare: nan",
     "m.yaml:2: share: 'nan' is not a number; expected a number between 0 and 1"},
    {"hbm: 1GB\nrate: 0.25",
     "m.yaml:2: rate: '0.25' has no unit; expected a number with a unit: /s, /min or /h"},
    {"hbm: 1GB\nrate: 0.25/sec",
     "m.yaml:2: rate: '0.25/sec' has the unknown unit '/sec'; expected a number with a unit: /s, "
     "/min or /h; did you mean '/s'?"},
    {"hbm: 1GB\nrate: 0.25Hz",
     "m.yaml:2: rate: '0.25Hz' has the unknown unit 'Hz'; expected a number with a unit: /s, /min "
     "or /h"},
    {"hbm: 1GB\nslope: -2",
     "m.yaml:2: slope: '-2' is out of range; expected a number between -1 and 1"},
    {"hbm: 1GB\nslope: abc",
     "m.yaml:2: slope: 'abc' is not a number; expected a number between -1 and 1"},
    {"hbm: 1GB\non: yes", "m.yaml:2: on: 'yes' is not a truth value; expected true or false"},
    {"hbm: 1GB\non: True", "m.yaml:2: on: 'True' is not a truth value; expected true or false"},
    {"hbm: 1GB\non: 1", "m.yaml:2: on: '1' is not a truth value; expected true or false"},
    {"hbm: 1GB\npolicy: LRU",
     "m.yaml:2: policy: 'LRU' is not known here; expected lru, sieve or arc; did you mean 'lru'?"},
    {"hbm: 1GB\npolicy: seive",
     "m.yaml:2: policy: 'seive' is not known here; expected lru, sieve or arc; did you mean "
     "'sieve'?"},
    {"hbm: 1GB\npolicy: 12345678",
     "m.yaml:2: policy: '12345678' is not known here; expected lru, sieve or arc"},
    {"hbm: 1GB\nname: [a]", "m.yaml:2: name: found a list; expected a text"},
    {"hbm: 1GB\nname: {a: b}", "m.yaml:2: name: found a mapping; expected a text"},
    {"hbm: 1GB\nname:", "m.yaml:2: name: found nothing; expected a text"},
    {"hbm: 1GB\nname: ~", "m.yaml:2: name: found nothing; expected a text"},
    {"hbm: 1GB\nsizes: 4KiB",
     "m.yaml:2: sizes: found '4KiB'; expected a list, each a number with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB; write [4KiB]"},
    {"hbm: 1GB\nsizes: {a: 1}",
     "m.yaml:2: sizes: found a mapping; expected a list, each a number with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
    {"hbm: 1GB\nsizes: [4KiB, 8]",
     "m.yaml:2: sizes[1]: '8' has no unit; expected a number with a unit: B, kB, MB, GB, TB, KiB, "
     "MiB, GiB or TiB"},
    {"hbm: 1GB\nsizes: [4KiB, [8KiB]]",
     "m.yaml:2: sizes[1]: found a list; expected a number with a unit: B, kB, MB, GB, TB, KiB, "
     "MiB, GiB or TiB"},
    {"hbm: 1GB\nsizes:",
     "m.yaml:2: sizes: found nothing; expected a list, each a number with a unit: B, kB, MB, GB, "
     "TB, KiB, MiB, GiB or TiB"},
};
INSTANTIATE_TEST_SUITE_P(Scalars, YamlReaderErrorsTest, testing::ValuesIn(kScalars));

const Case kStructure[] = {
    {"", "m.yaml: the file is empty; expected a mapping: lines of the form key: value"},
    {"# only a comment\n",
     "m.yaml: the file is empty; expected a mapping: lines of the form key: value"},
    {"---\n", "m.yaml: the file is empty; expected a mapping: lines of the form key: value"},
    {"~\n", "m.yaml: the file is empty; expected a mapping: lines of the form key: value"},
    {"- 1\n- 2\n", "m.yaml:1: found a list; expected a mapping: lines of the form key: value"},
    {"just text\n",
     "m.yaml:1: found 'just text'; expected a mapping: lines of the form key: value"},
    {"name: a\n",
     "m.yaml:1: hbm: missing key; expected a number above 0 with a unit: B, kB, MB, GB, TB, KiB, "
     "MiB, GiB or TiB"},
    {"hbm: 1GB\nname: a\nhbm: 2GB\n", "m.yaml:3: hbm: repeated key; first given on line 1"},
    {"hbm: 1GB\nhost:\n  cores: 1\n  cores: 2\n  cores: 3\n",
     "m.yaml:4: host.cores: repeated key; first given on line 3\n"
     "m.yaml:5: host.cores: repeated key; first given on line 3"},
    {"hbm: 1GB\nsystems:\n  - name: a\n  - name: b\n    name: c\n",
     "m.yaml:5: systems[1].name: repeated key; first given on line 4"},
    {"hmb: 1GB\n",
     "m.yaml:1: hmb: unknown key; expected hbm, name, policy, link, latency, peak, sms, seed, "
     "share, rate, slope, on, sizes, host or systems; did you mean 'hbm'?\n"
     "m.yaml:1: hbm: missing key; expected a number above 0 with a unit: B, kB, MB, GB, TB, KiB, "
     "MiB, GiB or TiB"},
    {"hbm: 1GB\nhost: 5\n", "m.yaml:2: host: found '5'; expected a mapping"},
    {"hbm: 1GB\nhost: [1]\n", "m.yaml:2: host: found a list; expected a mapping"},
    {"hbm: 1GB\nhost:\n", "m.yaml:2: host: found nothing; expected a mapping"},
    {"hbm: 1GB\nhost:\n  core: 5\n",
     "m.yaml:3: host.core: unknown key; expected cores; did you mean 'cores'?"},
    {"hbm: 1GB\nhost:\n  cores: 0\n",
     "m.yaml:3: host.cores: '0' is out of range; expected an integer >= 1"},
    {"hbm: 1GB\nsystems: {name: a}\n",
     "m.yaml:2: systems: found a mapping; expected a list of mappings"},
    {"hbm: 1GB\nsystems: a\n", "m.yaml:2: systems: found 'a'; expected a list of mappings"},
    {"hbm: 1GB\nsystems: [a]\n", "m.yaml:2: systems[0]: found 'a'; expected a mapping"},
    {"hbm: 1GB\nsystems:\n  - name: a\n  - nmae: b\n",
     "m.yaml:4: systems[1].nmae: unknown key; expected name; did you mean 'name'?\n"
     "m.yaml:4: systems[1].name: missing key; expected a text"},
    {"hbm: 1GB\nsystems:\n  - name: a\n  - \n",
     "m.yaml:3: systems[1]: found nothing; expected a mapping"},
    {"hbm: 1GB\nsystems:\n  - name: a\n  -\n    name: [b]\n",
     "m.yaml:5: systems[1].name: found a list; expected a text"},
    {"hbm: 1GB\nx: 1\nhost:\n  y: 2\n",
     "m.yaml:2: x: unknown key; expected hbm, name, policy, link, latency, peak, sms, seed, share, "
     "rate, slope, on, sizes, host or systems\n"
     "m.yaml:4: host.y: unknown key; expected cores"},
    {"hbm: 1GB\nzzzzzz: 1\n",
     "m.yaml:2: zzzzzz: unknown key; expected hbm, name, policy, link, latency, peak, sms, seed, "
     "share, rate, slope, on, sizes, host or systems"},
    {"hbm: 1GB\n<<: {name: a}\n",
     "m.yaml:2: <<: unknown key; expected hbm, name, policy, link, latency, peak, sms, seed, "
     "share, rate, slope, on, sizes, host or systems"},
    {"hbm: 1GB\n\tname: a\n", "m.yaml:2:1: not YAML: illegal tab when looking for indentation"},
    {"hbm: [1GB\n", "m.yaml:1: not YAML: end of sequence flow not found"},
    {"hbm: 'open\n", "m.yaml:1: not YAML: illegal EOF in scalar"},
    {"hbm: 1GB\nname: a: b\n", "m.yaml:2:8: not YAML: illegal map value"},
    {"hbm: 1GB\n  name: a\n", "m.yaml:2:7: not YAML: illegal map value"},
    {"}\n", "m.yaml:1:1: not YAML: illegal flow end"},
    {"hbm: *nowhere\n", "m.yaml:1:6: not YAML: the referenced anchor is not defined"},
    {"hbm: &a [*a]\n", "m.yaml:1: the alias refers to a value that contains it"},
    {"hbm: !!str 1GB\n",
     "m.yaml:1: the tag 'tag:yaml.org,2002:str' is not supported; expected a value without a tag"},
    {"hbm: 1GB\nhost: !mine {cores: 1}\n",
     "m.yaml:2: the tag '!mine' is not supported; expected a value without a tag"},
    {"? [a, b]\n: 1\n", "m.yaml:1: a key that is a list; expected a plain word as key"},
    {"{{x: 1, x: 2}: 3}\n", "m.yaml:1: a key that is a mapping; expected a plain word as key"},
    {"hbm: 1GB\n---\nhbm: 2GB\n", "m.yaml:3: a second document; expected one document in a file"},
    {"hbm: 1GB\n~: 1\n", "m.yaml:2: a key that is nothing; expected a plain word as key"},
    {"hbm: 1GB\nname: a\004b\n", "m.yaml:2: control byte 0x04; expected text in UTF-8"},
    {"hbm: 1GB\nname: M\xfcller\n",
     "m.yaml:2: bytes that are no character; expected text in UTF-8"},
    {"%YAML 3.0\n---\nhbm: 1GB\n", "m.yaml:1:1: not YAML: YAML major version too large"},
};
INSTANTIATE_TEST_SUITE_P(Structure, YamlReaderErrorsTest, testing::ValuesIn(kStructure));

}  // namespace
}  // namespace sparseserve::config
