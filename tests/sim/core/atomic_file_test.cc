#include "sim/core/atomic_file.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <system_error>

#include "tests/temporary_directory.h"

namespace sparseserve {
namespace {

using test::ReadFile;
using test::TemporaryDirectory;
using test::WriteFile;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kMegabytes(3'000'000, 'x');

template <typename Action>
void ExpectError(std::errc code, const std::string& path, Action action) {
  try {
    action();
    FAIL() << "no error";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::make_error_code(code)) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(path));
  }
}

TEST(AtomicFileTest, AppearsOnlyWhenCommitted) {
  TemporaryDirectory dir;
  AtomicFile file(dir / "a.csv");
  file.Append("one\n");
  file.Append(kMegabytes);
  file.Append("two\n");
  EXPECT_FALSE(std::filesystem::exists(dir / "a.csv"));
  file.Seal();
  EXPECT_FALSE(std::filesystem::exists(dir / "a.csv"));
  file.Commit();
  EXPECT_EQ(ReadFile(dir / "a.csv"), "one\n" + kMegabytes + "two\n");
  EXPECT_THAT(dir.Names(), ElementsAre("a.csv"));
}

TEST(AtomicFileTest, LeavesTheOldFileAndNothingElseWithoutCommit) {
  TemporaryDirectory dir;
  WriteFile(dir / "a.csv", "old");
  { AtomicFile(dir / "a.csv").Append(kMegabytes); }
  EXPECT_THAT(dir.Names(), ElementsAre("a.csv"));
  EXPECT_EQ(ReadFile(dir / "a.csv"), "old");
}

TEST(AtomicFileTest, ReplacesTheOldFileOnCommit) {
  TemporaryDirectory dir;
  WriteFile(dir / "a.csv", "old");
  AtomicFile file(dir / "a.csv");
  file.Append("new");
  file.Commit();
  EXPECT_EQ(ReadFile(dir / "a.csv"), "new");
}

// The temporary file is made a link to the device that is always full.
TEST(AtomicFileTest, FullDiskIsAnErrorWithThePathAndLeavesNothing) {
  TemporaryDirectory dir;
  const std::string path = dir / "a.csv";
  std::filesystem::create_symlink("/dev/full", path + ".tmp." + std::to_string(::getpid()));
  {
    AtomicFile file(path);
    file.Append("small");  // stays in the buffer
    ExpectError(std::errc::no_space_on_device, path, [&] { file.Commit(); });
  }
  EXPECT_THAT(dir.Names(), IsEmpty());
}

TEST(AtomicFileTest, FullDiskIsNoticedWhileAppending) {
  TemporaryDirectory dir;
  const std::string path = dir / "a.csv";
  std::filesystem::create_symlink("/dev/full", path + ".tmp." + std::to_string(::getpid()));
  AtomicFile file(path);
  ExpectError(std::errc::no_space_on_device, path, [&] {
    for (int i = 0; i < 3; ++i) file.Append(kMegabytes);
  });
}

// A regular file this time, which the system cuts off in the middle of a write.
TEST(AtomicFileTest, PartialWriteLeavesTheOldFile) {
  TemporaryDirectory dir;
  const std::string path = dir / "a.csv";
  WriteFile(path, "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = 4096;
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  {
    AtomicFile file(path);
    file.Append(std::string(10'000, 'x'));
    ExpectError(std::errc::file_too_large, path, [&] { file.Commit(); });
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_THAT(dir.Names(), ElementsAre("a.csv"));
  EXPECT_EQ(ReadFile(path), "old");
}

TEST(AtomicFileTest, MissingDirectoryIsAnErrorWithThePath) {
  TemporaryDirectory dir;
  const std::string path = dir / "missing/a.csv";
  ExpectError(std::errc::no_such_file_or_directory, path, [&] { AtomicFile file(path); });
}

TEST(AtomicFileTest, ReadOnlyDirectoryIsAnErrorWithThePath) {
  if (::geteuid() == 0) GTEST_SKIP() << "permissions do not bind the superuser";
  TemporaryDirectory dir;
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0555));
  ExpectError(std::errc::permission_denied, dir / "a.csv", [&] { AtomicFile file(dir / "a.csv"); });
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
  EXPECT_THAT(dir.Names(), IsEmpty());
}

TEST(AtomicFileTest, NameTakenByADirectoryIsAnErrorAndLeavesNothing) {
  TemporaryDirectory dir;
  std::filesystem::create_directories(dir / "a.csv/b");
  {
    AtomicFile file(dir / "a.csv");
    file.Append("text");
    ExpectError(std::errc::is_a_directory, dir / "a.csv", [&] { file.Commit(); });
  }
  EXPECT_THAT(dir.Names(), ElementsAre("a.csv"));
}

}  // namespace
}  // namespace sparseserve
