// Each file of tests/input/traces has one fault; expected.tsv says what the error must contain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "tests/traces/test_traces.h"
#include "traces/reader.h"

namespace sparseserve::traces {
namespace {

using ::testing::HasSubstr;

const std::string kFolder = "tests/input/traces/";

struct Case {
  std::string file;
  std::string format;
  std::string expected;
};

std::vector<Case> Cases() {
  std::ifstream table(kFolder + "expected.tsv");
  std::vector<Case> cases;
  std::string line;
  while (std::getline(table, line)) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream columns(line);
    Case c;
    std::getline(columns, c.file, '\t');
    std::getline(columns, c.format, '\t');
    std::getline(columns, c.expected);
    cases.push_back(c);
  }
  return cases;
}

TEST(BadInputTest, EachFileNamesItsFault) {
  for (const Case& c : Cases()) {
    const auto format = FormatByName(c.format);
    ASSERT_TRUE(format) << c.file << ": " << c.format;
    ReadOptions options;
    options.format = *format;
    const std::string error = ErrorOf([&] { ReadAll(OpenTrace(kFolder + c.file, options)); });
    EXPECT_THAT(error, HasSubstr(kFolder + c.file + c.expected));
    EXPECT_EQ(error.find('\n'), error.npos) << "one line: " << error;
  }
}

TEST(BadInputTest, TheTableCoversTheFolder) {
  std::set<std::string> listed;
  for (const Case& c : Cases()) listed.insert(c.file);
  std::set<std::string> found = {"missing.csv"};  // listed, and not there
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().filename() != "expected.tsv") found.insert(entry.path().filename());
  }
  EXPECT_EQ(listed, found);
  EXPECT_GE(Cases().size(), 25U);
}

}  // namespace
}  // namespace sparseserve::traces
