#include "sim/config/yaml_node.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace sparseserve::config {
namespace {

std::string WhatOf(const std::string& text) {
  try {
    LoadYamlString(text, "a.yaml");
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

// The tree after "--set" of each assignment, or the error.
std::string Set(const std::string& text, const std::vector<std::string>& assignments) {
  try {
    Node root = LoadYamlString(text, "a.yaml");
    for (const std::string& assignment : assignments) ApplyOverride(root, assignment);
    return ToYaml(root);
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(YamlNodeTest, KeepsFileOrderScalarTextAndLines) {
  const Node root = LoadYamlString("b: 010\na:\n  - .nan\n  - yes\n", "a.yaml");
  EXPECT_EQ(root.keys[0].text, "b");
  EXPECT_EQ(root.keys[1].text, "a");
  EXPECT_EQ(root.Find("b")->scalar, "010");
  EXPECT_EQ(root.Find("a")->items[1].scalar, "yes");
  EXPECT_EQ(root.Find("a")->items[1].where.line, 4);
  EXPECT_EQ(root.Find("c"), nullptr);
}

TEST(YamlNodeTest, WindowsLineEndsAndAByteOrderMarkAreRead) {
  const Node root = LoadYamlString(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: 2\r\n",
      "a.yaml");
  EXPECT_EQ(root.Find("a")->scalar, "1");
  EXPECT_EQ(root.Find("b")->scalar, "2");
}

TEST(YamlNodeTest, AliasesAreCopied) {
  EXPECT_EQ(Set("a: &x {k: 1}\nb: *x\n", {"b.k=2"}), "a:\n  k: 1\nb:\n  k: 2\n");
}

TEST(YamlNodeTest, AnAliasBombIsStoppedByTheNodeLimit) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 1; j < 10; ++j) bomb += ", " + last;
    bomb += "]\n";
  }
  EXPECT_EQ(WhatOf(bomb),
            "a.yaml:5: the file has too many values; expected at most 100000 with aliases "
            "expanded");
}

TEST(YamlNodeTest, DepthIsLimitedAlsoThroughAliases) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + "x" +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_EQ(WhatOf("a: " + nested(62) + "\n"), "accepted");  // + the map and the scalar: 64
  const std::string too_deep =
      "a.yaml:1: the file is nested too deeply; expected at most 64 levels";
  EXPECT_EQ(WhatOf("a: " + nested(63) + "\n"), too_deep);
  EXPECT_EQ(WhatOf("a: " + nested(100'000) + "\n"), too_deep);
  EXPECT_EQ(WhatOf("a: &x " + nested(40) + "\nb: [" +
                   "[[[[[[[[[[[[[[[[[[[[[[ *x ]]]]]]]]]]]]]]]]]]]]]]" + "]\n"),
            "a.yaml:2: the file is nested too deeply; expected at most 64 levels");
}

TEST(YamlNodeTest, SizeIsLimited) {
  EXPECT_EQ(WhatOf(std::string(kMaxYamlBytes + 1, '#')),
            "a.yaml: the file is too large; expected at most 16 MiB");
}

TEST(YamlNodeTest, FilesThatCannotBeReadAreNamed) {
  const auto what = [](const std::string& path) -> std::string {
    try {
      LoadYamlFile(path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(what("no/such.yaml"), "no/such.yaml: cannot be read: No such file or directory");
  EXPECT_EQ(what("tests"), "tests: cannot be read: Is a directory");
}

TEST(YamlNodeTest, ReadsWhatItWrote) {
  const std::string path = testing::TempDir() + "yaml_node_test.yaml";
  std::ofstream(path) << "a: [1, 2]\n";
  EXPECT_EQ(ToYaml(LoadYamlFile(path)), "a: [1, 2]\n");
  std::filesystem::remove(path);
}

TEST(YamlNodeTest, OverridesReplaceExtendAndCreate) {
  const std::string text = "gpu: {hbm: 1GB}\nsystems:\n  - name: a\n  - name: b\n";
  EXPECT_EQ(Set(text, {"gpu.hbm=2GB", "systems[1].name=c", "host.dram.size=1TB", "rates=[1, 2]"}),
            "gpu:\n  hbm: 2GB\nsystems:\n  - name: a\n  - name: c\nhost:\n  dram:\n    size: 1TB\n"
            "rates: [1, 2]\n");
  EXPECT_EQ(Set("a: 1\n", {"a={b: 2}", "a.b=x=y"}), "a:\n  b: x=y\n");
  EXPECT_EQ(Set("a: 1\nb:\n", {"a=", "b.c=1"}), "a: null\nb:\n  c: 1\n");
  EXPECT_EQ(Set("m: [[1, 2], [3, 4]]\n", {"m[1][0]=9"}), "m:\n  - [1, 2]\n  - [9, 4]\n");
}

TEST(YamlNodeTest, OverriddenValuesAreLocatedAtTheirSet) {
  Node root = LoadYamlString("a: 1\n", "a.yaml");
  ApplyOverride(root, "b.c=[2]");
  EXPECT_EQ(root.Find("a")->where.file, "a.yaml");
  EXPECT_EQ(root.Find("b")->where.file, "--set b.c");
  EXPECT_EQ(root.Find("b")->keys[0].where.file, "--set b.c");
  EXPECT_EQ(root.Find("b")->Find("c")->items[0].where.file, "--set b.c");
  EXPECT_EQ(root.Find("b")->Find("c")->items[0].where.line, 0);
}

TEST(YamlNodeTest, WrongOverridesSayWhatIsWrong) {
  const std::string text = "a: 1\nlist: [x, y]\n";
  EXPECT_EQ(Set(text, {"a"}), "--set a: no '='; expected path=value");
  const std::string path = "not a path; expected a path such as gpu.hbm or systems[0].name";
  for (const char* bad : {"", ".a", "a.", "a..b", "[0]", "list[", "list[]", "list[x]", "list[-1]",
                          "list[0]x", "list[0", "list[0]."}) {
    EXPECT_EQ(Set(text, {std::string(bad) + "=1"}), "--set " + std::string(bad) + ": " + path);
  }
  EXPECT_EQ(Set(text, {"list[2]=z"}),
            "--set list[2]: [2] is past the end of the list; expected an index below 2");
  EXPECT_EQ(Set(text, {"a[0]=z"}), "--set a[0]: [0] is applied to '1'; expected a list there");
  EXPECT_EQ(Set(text, {"a.b=z"}), "--set a.b: 'b' is looked up in '1'; expected a mapping there");
  EXPECT_EQ(Set(text, {"list.b=z"}),
            "--set list.b: 'b' is looked up in a list; expected a mapping there");
  EXPECT_EQ(Set(text, {"a=[1"}), "--set a: not YAML: end of sequence flow not found");
  EXPECT_EQ(Set(text, {"a=1\nb: 2"}),
            "--set a: the value is no single YAML value; expected path=value");
}

TEST(YamlNodeTest, EveryTextSurvivesWritingAndReading) {
  for (const char* text :
       {"",    " ",    "a",          "a b",   "a: b", "a:",       "#a",        "a #b", "- a",
        "-",   "-1",   "-x",         "null",  "~",    "\"",       "'",         "a'b",  "a\"b",
        "\\",  "a\\n", "line\nline", "\ttab", "[a]",  "{a}",      "a,b",       "*x",   "&x",
        "!x",  "|",    ">",          "%x",    "@x",   "`x",       "? x",       ":",    ",",
        "a]b", "true", "010",        "...",   "---",  "\xC3\xA9", "trailing ", "x:y",  "\r"}) {
    Node root = Node::Map();
    root.Set(*text == '\0' ? "k" : text, Node::Scalar(text));
    Node list = Node::List();
    list.items = {Node::Scalar(text), Node::Scalar(text)};
    root.Set("a list", list);
    const Node back = LoadYamlString(ToYaml(root), "back.yaml");
    EXPECT_EQ(back.items[0].scalar, text) << ToYaml(root);
    EXPECT_EQ(back.items[1].items[1].scalar, text) << ToYaml(root);
    EXPECT_EQ(back.items[0].kind, NodeKind::kScalar) << ToYaml(root);
    EXPECT_EQ(ToYaml(back), ToYaml(root));
  }
}

TEST(YamlNodeTest, NestedListsAndMapsSurviveWritingAndReading) {
  const std::string text =
      "a:\n  - - [1, 2]\n    - k: 1\n  - {}\n  - []\n  - k:\n      - x: 1\n        y: [2]\n";
  EXPECT_EQ(ToYaml(LoadYamlString(text, "a.yaml")), text);
}

}  // namespace
}  // namespace sparseserve::config
