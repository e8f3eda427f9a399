#include "sim/report/run_directory.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "tests/sim/report/test_runs.h"

namespace sparseserve::report {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RunDirectoryTest, MakesTheDirectoryAndAllItsFilesAtOnce) {
  TemporaryDirectory dir;
  RunDirectory run(dir / "out/a");
  run.Stage(kSummaryFile, "{}");
  run.Stage(kRequestsFile).Append("id\n");
  EXPECT_FALSE(std::filesystem::exists(dir / "out/a/requests.csv"));
  run.Commit();
  EXPECT_EQ(ReadFile(dir / "out/a/summary.json"), "{}");
  EXPECT_EQ(ReadFile(dir / "out/a/requests.csv"), "id\n");
}

TEST(RunDirectoryTest, NewRunRemovesTheResultsOfTheOldOneAndNothingElse) {
  TemporaryDirectory dir;
  for (const char* name : {"summary.json", "timeline.json", "report.html", "notes.txt"})
    WriteFile(dir / name, "old");
  RunDirectory run(dir.path());
  run.Stage(kSummaryFile, "new");
  run.Commit();
  EXPECT_THAT(dir.Names(), ElementsAre("notes.txt", "summary.json"));
  EXPECT_EQ(ReadFile(dir / "summary.json"), "new");
}

TEST(RunDirectoryTest, RunThatFailsLeavesTheOldResults) {
  TemporaryDirectory dir;
  for (const char* name : {"summary.json", "requests.csv", "timeline.json"})
    WriteFile(dir / name, "old");
  {
    RunDirectory run(dir.path());
    run.Stage(kSummaryFile, "new");
    run.Stage(kRequestsFile, "new");
  }
  EXPECT_THAT(dir.Names(), ElementsAre("requests.csv", "summary.json", "timeline.json"));
  EXPECT_EQ(ReadFile(dir / "summary.json"), "old");
}

TEST(RunDirectoryTest, FullDiskLeavesTheOldResults) {
  TemporaryDirectory dir;
  for (const char* name : {"summary.json", "requests.csv"}) WriteFile(dir / name, "old");
  std::filesystem::create_symlink("/dev/full",
                                  dir / ("requests.csv.tmp." + std::to_string(::getpid())));
  {
    RunDirectory run(dir.path());
    run.Stage(kSummaryFile, "new");
    run.Stage(kRequestsFile, "new");
    EXPECT_THROW(run.Commit(), std::system_error);
  }
  EXPECT_THAT(dir.Names(), ElementsAre("requests.csv", "summary.json"));
  EXPECT_EQ(ReadFile(dir / "summary.json"), "old");
  EXPECT_EQ(ReadFile(dir / "requests.csv"), "old");
}

// requests.csv cannot take its name: where no summary stands, the results are not complete.
TEST(RunDirectoryTest, SummaryComesLast) {
  TemporaryDirectory dir;
  WriteFile(dir / "summary.json", "old");
  std::filesystem::create_directories(dir / "requests.csv/in_the_way");
  {
    RunDirectory run(dir.path());
    run.Stage(kSummaryFile, "new");
    run.Stage(kRequestsFile, "new");
    EXPECT_THROW(run.Commit(), std::system_error);
  }
  EXPECT_THAT(dir.Names(), ElementsAre("requests.csv"));
}

TEST(RunDirectoryTest, PathThatIsAFileIsAnErrorWithThePath) {
  TemporaryDirectory dir;
  WriteFile(dir / "out", "a file");
  try {
    RunDirectory run(dir / "out");
    FAIL() << "no error";
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(dir / "out"));
  }
}

}  // namespace
}  // namespace sparseserve::report
