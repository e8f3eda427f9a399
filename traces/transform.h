// Streams that change another stream on its way: each says what it changes; all else is kept, ids
// stay dense from 0, and arrivals never decrease. They own their source and may be stacked.
#pragma once

#include <cstdint>
#include <memory>

#include "traces/arrivals.h"
#include "traces/request.h"

namespace sparseserve::traces {

// Ends after the first `num_requests`. Keeps those as they are.
std::unique_ptr<RequestStream> Take(std::unique_ptr<RequestStream> source,
                                    std::int64_t num_requests);

// Leaves out the first `num_requests`; the first one that is left arrives at 0, the others as much
// after it as before.
std::unique_ptr<RequestStream> Skip(std::unique_ptr<RequestStream> source,
                                    std::int64_t num_requests);

// Divides each arrival time by `speed`: 2 doubles the request rate. Keeps ties, the shape of bursts
// and all lengths; changes every gap. Throws InputError unless speed is in [1e-6, 1e6].
std::unique_ptr<RequestStream> ScaleRate(std::unique_ptr<RequestStream> source, double speed);

// Replaces the arrival times by those of ArrivalClock(options, seed). Keeps lengths and their
// order; loses the recorded bursts, ties and any tie between load and length over time.
// kAsRecorded returns the source unchanged.
std::unique_ptr<RequestStream> RedrawArrivals(std::unique_ptr<RequestStream> source,
                                              const ArrivalOptions& options, std::uint64_t seed);

// Spreads the k requests of one recorded tick evenly, in order, from their tick up to the next one:
// t, t + g/k, ... with the gap g to the next tick; the last tick takes the gap before it. For
// traces whose clock is coarser than their arrivals (Mooncake: 3 s). Keeps each request within its
// tick, the mean rate and the order; removes bursts shorter than a tick, real ones too. A trace of
// one single tick stays as it is. Memory: the requests of one tick.
std::unique_ptr<RequestStream> SpreadTies(std::unique_ptr<RequestStream> source);

struct LengthCaps {
  Tokens max_prompt{0};  // 0: no cap
  Tokens max_output{0};
  bool drop_longer = false;  // false: cut a longer one to the cap; true: leave the request out
};

// Bounds prompt and output lengths. Keeps arrival times; cutting changes lengths alone, dropping
// lowers the request rate.
class LengthCapStream : public RequestStream {
 public:
  // Throws InputError on a negative cap.
  LengthCapStream(std::unique_ptr<RequestStream> source, const LengthCaps& caps);

  std::optional<Request> Next() override;

  std::int64_t num_cut() const { return num_cut_; }  // requests with one or both lengths cut
  std::int64_t num_dropped() const { return num_dropped_; }

 private:
  std::unique_ptr<RequestStream> source_;
  LengthCaps caps_;
  std::int64_t num_returned_ = 0;
  std::int64_t num_cut_ = 0;
  std::int64_t num_dropped_ = 0;
};

}  // namespace sparseserve::traces
