#include "sim/core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/core/rng.h"

namespace sparseserve {
namespace {

// The definition, without dynamic programming.
std::size_t SlowDistance(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  const std::size_t keep = SlowDistance(a.substr(1), b.substr(1)) + (a[0] == b[0] ? 0 : 1);
  return std::min({keep, SlowDistance(a.substr(1), b) + 1, SlowDistance(a, b.substr(1)) + 1});
}

TEST(ErrorTest, AFullProblemIsOneLineInTheOrderPlaceKeyWhatExpectedHint) {
  const InputProblem problem{
      {"a.yaml", 3, 7}, "gpu.hbm", "'80' has no unit", "B or GB", "write 80GB"};
  EXPECT_EQ(ToString(problem),
            "a.yaml:3:7: gpu.hbm: '80' has no unit; expected B or GB; write 80GB");
}

TEST(ErrorTest, WhatIsEmptyOrUnknownIsLeftOut) {
  EXPECT_EQ(ToString(InputProblem{{"a.yaml", 0, 0}, "", "is empty", "", ""}), "a.yaml: is empty");
  EXPECT_EQ(ToString(InputProblem{{"a.yaml", 4, 0}, "k", "bad", "", "drop it"}),
            "a.yaml:4: k: bad; drop it");
  EXPECT_EQ(ToString(InputProblem{{}, "router", "unknown", "one of a, b", ""}),
            "router: unknown; expected one of a, b");
  EXPECT_EQ(ToString(InputProblem{{}, "", "no request", "", ""}), "no request");
}

TEST(ErrorTest, SeveralProblemsAreALineEachAndTheFirstIsKept) {
  const std::vector<InputProblem> problems = {{{"a", 1, 0}, "x", "bad", "", ""},
                                              {{"a", 2, 0}, "y", "worse", "", ""}};
  const InputError error(problems);
  EXPECT_STREQ(error.what(), "a:1: x: bad\na:2: y: worse");
  EXPECT_EQ(error.problem().key, "x");
}

TEST(ErrorTest, EditDistanceIsThatOfItsDefinition) {
  RandomStream random(1, "edit distance");
  const auto word = [&] {
    std::string text(static_cast<std::size_t>(random.UniformInt(0, 5)), ' ');
    for (char& c : text) c = static_cast<char>('a' + random.UniformInt(0, 2));
    return text;
  };
  for (int i = 0; i < 300; ++i) {
    const std::string a = word(), b = word();
    EXPECT_EQ(EditDistance(a, b), SlowDistance(a, b)) << '"' << a << "\" \"" << b << '"';
  }
}

TEST(ErrorTest, ClosestMatchFindsTyposAndNothingElse) {
  const std::vector<std::string> known = {"hbm", "bandwidth", "latency"};
  EXPECT_EQ(ClosestMatch("bandwith", known), "bandwidth");
  EXPECT_EQ(ClosestMatch("hbn", known), "hbm");
  EXPECT_EQ(ClosestMatch("num_sms", known), "");
}

}  // namespace
}  // namespace sparseserve
