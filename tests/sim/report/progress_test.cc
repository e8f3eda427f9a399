#include "sim/report/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

namespace sparseserve::report {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

// A terminal whose other end the test reads.
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master_ < 0 || ::grantpt(master_) != 0 || ::unlockpt(master_) != 0) return;
    fd_ = ::open(::ptsname(master_), O_RDWR | O_NOCTTY);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    ::close(fd_);
    ::close(master_);
  }
  int fd() const { return fd_; }
  std::string Read() const {
    std::string text;
    char buffer[4096];
    pollfd wait{master_, POLLIN, 0};
    while (::poll(&wait, 1, 100) > 0) {
      const ssize_t size = ::read(master_, buffer, sizeof buffer);
      if (size <= 0) break;
      text.append(buffer, static_cast<std::size_t>(size));
    }
    return text;
  }

 private:
  int master_ = -1;
  int fd_ = -1;
};

TEST(ProgressTextTest, SaysShareAndTimeLeft) {
  EXPECT_EQ(ProgressText(0, 5000, Seconds(3)), "0/5000 requests, 0 %");
  EXPECT_EQ(ProgressText(1200, 5000, Seconds(20)), "1200/5000 requests, 24 %, 1m 04s left");
  EXPECT_EQ(ProgressText(1, 1000, Seconds(10)), "1/1000 requests, 0 %, 2h 46m left");
  EXPECT_EQ(ProgressText(5000, 5000, Seconds(20)), "5000/5000 requests, 100 %, 0s left");
  EXPECT_EQ(ProgressText(17, 0, Seconds(1)), "17 requests");
}

TEST(ProgressTest, IsSilentWhereNobodyLooks) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  {
    Progress progress(10, ends[1]);
    EXPECT_EQ(progress.OfRun(), nullptr);
  }
  ::close(ends[1]);
  char byte;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
}

TEST(ProgressTest, RunsShareOneLineThatIsWipedInTheEnd) {
  Terminal terminal;
  if (terminal.fd() < 0) GTEST_SKIP() << "this system gives no pseudo-terminal";
  {
    Progress progress(10, terminal.fd());
    auto first = progress.OfRun();
    auto second = progress.OfRun();
    first(3);
    second(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    second(2);
    EXPECT_THAT(terminal.Read(), HasSubstr("5/10 requests, 50 %"));
  }
  EXPECT_THAT(terminal.Read(), EndsWith("\r\x1b[K"));
}

TEST(ProgressTest, ThreadsWriteAtMostTenTimesASecondAndLoseNothing) {
  Terminal terminal;
  if (terminal.fd() < 0) GTEST_SKIP() << "this system gives no pseudo-terminal";
  const auto begin = std::chrono::steady_clock::now();
  Progress progress(400'004, terminal.fd());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([run = progress.OfRun()] {
      for (int finished = 1; finished <= 100'000; ++finished) run(finished);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  progress.OfRun()(1);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  const std::string text = terminal.Read();
  EXPECT_THAT(text, HasSubstr("400001/400004 requests, 99 %"));
  EXPECT_LE(static_cast<double>(std::count(text.begin(), text.end(), '\r')),
            elapsed.count() * 10 + 1);
}

TEST(JobProgressTest, SaysWhatHowFarAndHowLong) {
  EXPECT_EQ(JobProgressText("h2d.flash", 0, Seconds(3)), "h2d.flash, 0 %");
  EXPECT_EQ(JobProgressText("h2d.flash", 0.25, Seconds(30)), "h2d.flash, 25 %, 1m 30s left");
  EXPECT_EQ(JobProgressText("gemm", 1.2, Seconds(30)), "gemm, 100 %, 0s left");
}

TEST(JobProgressTest, WritesToATerminalAlone) {
  const Terminal terminal;
  ASSERT_GE(terminal.fd(), 0);
  {
    JobProgress progress(terminal.fd());
    progress.Show("gemm", 0.5);
  }
  const std::string text = terminal.Read();
  EXPECT_THAT(text, HasSubstr("gemm, 50 %"));
  EXPECT_THAT(text, EndsWith("\r\x1b[K"));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  JobProgress(ends[1]).Show("gemm", 0.5);
  ::close(ends[1]);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
}

}  // namespace
}  // namespace sparseserve::report
