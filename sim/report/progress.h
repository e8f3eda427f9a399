// The progress line of a run on stderr, or of several runs at once, whose requests it adds up:
// "1200/5000 requests, 24 %, 1m 05s left". Silent unless stderr is a terminal.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "sim/core/units.h"
#include "sim/serving/engine.h"

namespace sparseserve::report {

// Thread-safe.
class Progress {
 public:
  // `total`: requests of all runs together. Writes to the file descriptor, stderr by default.
  explicit Progress(std::int64_t total, int fd = 2);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  // wipes the line

  // For RunOptions::progress of one run; it must not outlive this object.
  serving::ProgressFunction OfRun();

 private:
  using Clock = std::chrono::steady_clock;

  void Advance(std::int64_t finished);

  const std::int64_t total_;
  const int fd_;
  const bool shown_;  // it is a terminal
  const Clock::time_point start_;
  std::atomic<std::int64_t> finished_ = 0;
  std::mutex mutex_;                   // of the line on the screen
  std::atomic<Clock::duration> next_;  // since start_: when to write again
};

// The same for one job that knows how much of it is done: "h2d.flash, 34 %, 2m 05s left".
class JobProgress {
 public:
  explicit JobProgress(int fd = 2);
  JobProgress(const JobProgress&) = delete;
  JobProgress& operator=(const JobProgress&) = delete;
  ~JobProgress();  // wipes the line

  // `done`: of the whole job, 0 to 1. Silent unless it is a terminal.
  void Show(const std::string& what, double done);

 private:
  using Clock = std::chrono::steady_clock;

  const int fd_;
  const bool shown_;
  const Clock::time_point start_;
  Clock::duration next_;
};

std::string JobProgressText(const std::string& what, double done, Seconds elapsed);

// The text of the line. The time left assumes that the requests left take as long as those done.
std::string ProgressText(std::int64_t finished, std::int64_t total, Seconds elapsed);

}  // namespace sparseserve::report
