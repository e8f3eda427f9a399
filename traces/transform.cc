#include "traces/transform.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/error.h"

namespace sparseserve::traces {
namespace {

class TakeStream : public RequestStream {
 public:
  TakeStream(std::unique_ptr<RequestStream> source, std::int64_t num_requests)
      : source_(std::move(source)), num_left_(num_requests) {}

  std::optional<Request> Next() override {
    if (num_left_ <= 0) return std::nullopt;
    --num_left_;
    return source_->Next();
  }

 private:
  std::unique_ptr<RequestStream> source_;
  std::int64_t num_left_;
};

class SkipStream : public RequestStream {
 public:
  SkipStream(std::unique_ptr<RequestStream> source, std::int64_t num_requests)
      : source_(std::move(source)), num_skipped_(num_requests) {}

  std::optional<Request> Next() override {
    while (!begin_) {
      std::optional<Request> request = source_->Next();
      if (!request) return request;
      if (request->id >= num_skipped_) return Shift(*request);
    }
    const std::optional<Request> request = source_->Next();
    return request ? Shift(*request) : request;
  }

 private:
  Request Shift(Request request) {
    if (!begin_) begin_ = request.arrival;
    request.id -= num_skipped_;
    request.arrival = SimTime(request.arrival.ns() - begin_->ns());
    return request;
  }

  std::unique_ptr<RequestStream> source_;
  std::int64_t num_skipped_;
  std::optional<SimTime> begin_;
};

class ScaleRateStream : public RequestStream {
 public:
  ScaleRateStream(std::unique_ptr<RequestStream> source, double speed)
      : source_(std::move(source)), speed_(speed) {}

  std::optional<Request> Next() override {
    std::optional<Request> request = source_->Next();
    if (!request) return request;
    const double ns = static_cast<double>(request->arrival.ns()) / speed_;
    if (ns > 1e18) {
      throw InputError(
          {{}, "workload.speed", "the requests span more than 1e9 s", "a larger factor", ""});
    }
    // Rounding keeps the order: it is monotone.
    if (speed_ != 1.0) request->arrival = SimTime(std::llround(ns));
    return request;
  }

 private:
  std::unique_ptr<RequestStream> source_;
  double speed_;
};

class RedrawStream : public RequestStream {
 public:
  RedrawStream(std::unique_ptr<RequestStream> source, const ArrivalOptions& options,
               std::uint64_t seed)
      : source_(std::move(source)), clock_(options, seed) {}

  std::optional<Request> Next() override {
    std::optional<Request> request = source_->Next();
    if (request) request->arrival = clock_.Next();
    return request;
  }

 private:
  std::unique_ptr<RequestStream> source_;
  ArrivalClock clock_;
};

class SpreadTiesStream : public RequestStream {
 public:
  explicit SpreadTiesStream(std::unique_ptr<RequestStream> source) : source_(std::move(source)) {}

  std::optional<Request> Next() override {
    if (next_in_tick_ == tick_.size() && !ReadTick()) return std::nullopt;
    return tick_[next_in_tick_++];
  }

 private:
  // Fills tick_ with the spread requests of the next tick; false at the end.
  bool ReadTick() {
    if (!started_) ahead_ = source_->Next();
    started_ = true;
    if (!ahead_) return false;
    tick_.clear();
    next_in_tick_ = 0;
    const std::int64_t start_ns = ahead_->arrival.ns();
    while (ahead_ && ahead_->arrival.ns() == start_ns) {
      tick_.push_back(*ahead_);
      ahead_ = source_->Next();
    }
    if (ahead_) gap_ns_ = ahead_->arrival.ns() - start_ns;
    const auto size = static_cast<std::int64_t>(tick_.size());
    for (std::int64_t i = 1; i < size; ++i) {  // floor(i * gap / size), without overflow
      const std::int64_t shift = gap_ns_ / size * i + gap_ns_ % size * i / size;
      tick_[static_cast<std::size_t>(i)].arrival = SimTime(start_ns + shift);
    }
    return true;
  }

  std::unique_ptr<RequestStream> source_;
  bool started_ = false;
  std::optional<Request> ahead_;  // the first request of the next tick
  std::vector<Request> tick_;
  std::size_t next_in_tick_ = 0;
  std::int64_t gap_ns_ = 0;  // from this tick to the next one
};

// Cuts `length` to `cap`; returns whether it was longer. A cap of 0 is none.
bool Cut(Tokens& length, Tokens cap) {
  if (cap == Tokens(0) || length <= cap) return false;
  length = cap;
  return true;
}

}  // namespace

std::unique_ptr<RequestStream> Take(std::unique_ptr<RequestStream> source,
                                    std::int64_t num_requests) {
  return std::make_unique<TakeStream>(std::move(source), num_requests);
}

std::unique_ptr<RequestStream> Skip(std::unique_ptr<RequestStream> source,
                                    std::int64_t num_requests) {
  return std::make_unique<SkipStream>(std::move(source), num_requests);
}

std::unique_ptr<RequestStream> ScaleRate(std::unique_ptr<RequestStream> source, double speed) {
  if (!(speed >= 1e-6 && speed <= 1e6)) {
    throw InputError({{},
                      "speed",
                      std::to_string(speed) + " is out of range",
                      "1e-6 to 1e6",
                      "2 doubles the request rate"});
  }
  return std::make_unique<ScaleRateStream>(std::move(source), speed);
}

std::unique_ptr<RequestStream> RedrawArrivals(std::unique_ptr<RequestStream> source,
                                              const ArrivalOptions& options, std::uint64_t seed) {
  if (options.kind == ArrivalKind::kAsRecorded) return source;
  return std::make_unique<RedrawStream>(std::move(source), options, seed);
}

std::unique_ptr<RequestStream> SpreadTies(std::unique_ptr<RequestStream> source) {
  return std::make_unique<SpreadTiesStream>(std::move(source));
}

LengthCapStream::LengthCapStream(std::unique_ptr<RequestStream> source, const LengthCaps& caps)
    : source_(std::move(source)), caps_(caps) {
  if (caps.max_prompt >= Tokens(0) && caps.max_output >= Tokens(0)) return;
  throw InputError({{},
                    caps.max_prompt < Tokens(0) ? "max_prompt" : "max_output",
                    "is negative",
                    "a number of tokens, or 0 for no cap",
                    ""});
}

std::optional<Request> LengthCapStream::Next() {
  while (std::optional<Request> request = source_->Next()) {
    const bool cut_prompt = Cut(request->prompt, caps_.max_prompt);
    const bool cut_output = Cut(request->output, caps_.max_output);
    const bool longer = cut_prompt || cut_output;
    if (longer && caps_.drop_longer) {
      ++num_dropped_;
      continue;
    }
    num_cut_ += longer ? 1 : 0;
    request->id = num_returned_++;
    return request;
  }
  return std::nullopt;
}

}  // namespace sparseserve::traces
