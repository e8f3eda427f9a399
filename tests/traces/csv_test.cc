#include "traces/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/rng.h"
#include "tests/traces/test_traces.h"

namespace sparseserve::traces {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Record = std::vector<std::string>;

std::vector<Record> Records(const std::string& content) {
  const TestFile file(content);
  CsvReader csv{LineReader(file.path())};
  std::vector<Record> records = {csv.header()};
  while (csv.Next()) records.emplace_back(csv.fields().begin(), csv.fields().end());
  return records;
}

TEST(CsvReaderTest, ReadsCrlfByteOrderMarkAndNoFinalNewline) {
  EXPECT_THAT(Records("\xef\xbb\xbf"
                      "a,b\r\n1,2\r\n3,4"),
              ElementsAre(Record{"a", "b"}, Record{"1", "2"}, Record{"3", "4"}));
}

TEST(CsvReaderTest, KeepsEmptyFieldsAndTrimsBlanks) {
  EXPECT_THAT(Records("a,b,c\n,,\n 1 ,\t2, \n"),
              ElementsAre(Record{"a", "b", "c"}, Record{"", "", ""}, Record{"1", "2", ""}));
}

TEST(CsvReaderTest, ReadsQuotedFields) {
  EXPECT_THAT(Records("\"a,b\",c\n\"say \"\"hi\"\"\", \" x \" \n\"\",\"\"\"\"\n"),
              ElementsAre(Record{"a,b", "c"}, Record{"say \"hi\"", " x "}, Record{"", "\""}));
}

TEST(CsvReaderTest, JoinsQuotedFieldsThatSpanLines) {
  const TestFile file("a,b\n\"1\n\n2\",x\n3,4\n");
  CsvReader csv{LineReader(file.path())};
  ASSERT_TRUE(csv.Next());
  EXPECT_THAT(csv.fields(), ElementsAre("1\n\n2", "x"));
  EXPECT_EQ(csv.where().line, 2);
  ASSERT_TRUE(csv.Next());
  EXPECT_EQ(csv.where().line, 5);
}

TEST(CsvReaderTest, SkipsBlankLinesAndCountsThem) {
  const TestFile file("\n  \na,b\n\n1,2\n\n");
  CsvReader csv{LineReader(file.path())};
  EXPECT_THAT(csv.header(), ElementsAre("a", "b"));
  ASSERT_TRUE(csv.Next());
  EXPECT_EQ(csv.where().line, 5);
  EXPECT_FALSE(csv.Next());
}

TEST(CsvReaderTest, FindsColumnsByName) {
  const TestFile file("\nid,tokens,id\n");
  CsvReader csv{LineReader(file.path())};
  EXPECT_EQ(csv.Find("tokens"), 1U);
  EXPECT_EQ(csv.Find("nothing"), std::nullopt);
  EXPECT_THAT(ErrorOf([&] { csv.Find("id"); }), HasSubstr(":2: id: column stands twice"));
  EXPECT_THAT(ErrorOf([&] { csv.Require("token"); }),
              HasSubstr(":2: token: column is missing; expected a header with it; is 'tokens'"));
}

TEST(CsvReaderTest, RejectsOpenQuotesAndTextAfterQuotes) {
  EXPECT_THAT(ErrorOf([] { Records("a,b\n1,2\n\"3,4\n5,6\n"); }),
              HasSubstr(":3: quoted field is not closed"));
  EXPECT_THAT(ErrorOf([] { Records("a,b\n\"1\"x,2\n"); }), HasSubstr(":2: text after a closing"));
  EXPECT_THAT(ErrorOf([] { Records(""); }), HasSubstr("the file is empty"));
}

std::string Quoted(const std::string& field) {
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

TEST(CsvReaderTest, ReturnsAnyFieldsThatWereQuoted) {
  RandomStream random(11, "csv");
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Record> expected = {{"h1", "h2", "h3"}};
    std::string content = "h1,h2,h3\n";
    for (int row = 0; row < 5; ++row) {
      expected.emplace_back();
      for (int column = 0; column < 3; ++column) {
        std::string field;
        for (auto i = random.UniformInt(0, 8); i > 0; --i)
          field += "a,\"\n 1"[random.UniformInt(0, 5)];
        content += (column > 0 ? "," : "") + Quoted(field);
        expected.back().push_back(field);
      }
      content += "\n";
    }
    EXPECT_EQ(Records(content), expected) << "seed 11, trial " << trial;
  }
}

}  // namespace
}  // namespace sparseserve::traces
