#include "sim/report/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace sparseserve::report {
namespace {

constexpr std::chrono::milliseconds kInterval{100};
constexpr std::string_view kWipeLine = "\r\x1b[K";

// Nothing depends on whether the line arrives.
void WriteTo(int fd, std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
}

std::string DurationText(Seconds duration) {
  const auto seconds = static_cast<std::int64_t>(std::ceil(duration.value()));
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m {:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h {:02}m", seconds / 3600, seconds / 60 % 60);
}

}  // namespace

std::string ProgressText(std::int64_t finished, std::int64_t total, Seconds elapsed) {
  if (total <= 0) return fmt::format("{} requests", finished);
  std::string text = fmt::format("{}/{} requests, {} %", finished, total, 100 * finished / total);
  if (finished > 0) {
    const double left = static_cast<double>(total - finished) / static_cast<double>(finished);
    text += ", " + DurationText(elapsed * left) + " left";
  }
  return text;
}

std::string JobProgressText(const std::string& what, double done, Seconds elapsed) {
  const double share = std::clamp(done, 0.0, 1.0);
  std::string text = fmt::format("{}, {:.0f} %", what, std::floor(100 * share));
  if (share > 0) text += ", " + DurationText(elapsed * ((1 - share) / share)) + " left";
  return text;
}

JobProgress::JobProgress(int fd)
    : fd_(fd), shown_(::isatty(fd) == 1), start_(Clock::now()), next_(Clock::duration::zero()) {}

JobProgress::~JobProgress() {
  if (shown_) WriteTo(fd_, kWipeLine);
}

void JobProgress::Show(const std::string& what, double done) {
  const Clock::duration elapsed = Clock::now() - start_;
  if (!shown_ || elapsed < next_) return;
  next_ = elapsed + kInterval;
  const Seconds seconds(std::chrono::duration<double>(elapsed).count());
  WriteTo(fd_, fmt::format("{}{}", kWipeLine, JobProgressText(what, done, seconds)));
}

Progress::Progress(std::int64_t total, int fd)
    : total_(total),
      fd_(fd),
      shown_(::isatty(fd) == 1),
      start_(Clock::now()),
      next_(Clock::duration(kInterval)) {}

Progress::~Progress() {
  if (shown_) WriteTo(fd_, kWipeLine);
}

serving::ProgressFunction Progress::OfRun() {
  if (!shown_) return nullptr;
  return [this, before = std::int64_t{0}](std::int64_t finished) mutable {
    Advance(finished - before);
    before = finished;
  };
}

void Progress::Advance(std::int64_t finished) {
  const std::int64_t sum = finished_.fetch_add(finished, std::memory_order_relaxed) + finished;
  const Clock::duration elapsed = Clock::now() - start_;
  if (elapsed < next_.load(std::memory_order_relaxed)) return;
  // Whoever comes while another thread writes leaves the line to it.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock || elapsed < next_.load(std::memory_order_relaxed)) return;
  next_.store(elapsed + kInterval, std::memory_order_relaxed);
  const Seconds seconds(std::chrono::duration<double>(elapsed).count());
  WriteTo(fd_, fmt::format("{}{}", kWipeLine, ProgressText(sum, total_, seconds)));
}

}  // namespace sparseserve::report
