#include "sim/live/lane_clock.h"

#include <algorithm>

namespace sparseserve::live {

using kernels::EventPtr;
using kernels::Lane;

void LaneClock::Begin() {
  intervals_.clear();
  begin_ = backend_.Record(Lane::kCompute);
}

void LaneClock::Mark(Part part, const char* name, std::int64_t layer) {
  intervals_.push_back({backend_.Record(Lane::kCompute), nullptr, name, layer, part, false});
}

void LaneClock::MarkWait(Part part, EventPtr until, std::int64_t layer) {
  const char* name = part == Part::kSaveStall ? "save stall" : "load stall";
  intervals_.push_back(
      {backend_.Record(Lane::kCompute), std::move(until), name, layer, part, true});
}

void LaneClock::BeginTransfer(Lane lane) {
  transfers_.push_back({lane, backend_.Record(lane), nullptr, "", -1});
}

void LaneClock::EndTransfer(const char* name, std::int64_t layer) {
  Transfer& transfer = transfers_.back();
  transfer.end = backend_.Record(transfer.lane);
  transfer.name = name;
  transfer.layer = layer;
}

void LaneClock::Harvest(SimTime start, double prefill_share, serving::IterationResult& result,
                        serving::Timeline* timeline) {
  if (intervals_.empty()) return;
  intervals_.back().end->Synchronize();
  serving::IterationTime& time = result.time;
  const auto draw = [&](serving::Lane lane, const char* name, Seconds begin, Seconds end,
                        std::int64_t layer) {
    if (timeline != nullptr) timeline->Add(lane, name, start + begin, start + end, layer);
  };
  EventPtr previous = begin_;
  Seconds at;
  for (const Interval& interval : intervals_) {
    Seconds length = backend_.Elapsed(previous, interval.end);
    previous = interval.end;
    if (interval.wait) {
      Seconds waited;
      if (interval.until != nullptr) {
        const Seconds late = backend_.Elapsed(interval.until, interval.end);
        waited = std::clamp(length - late, Seconds(0), length);
      }
      (interval.part == Part::kSaveStall ? time.save_stall : time.load_stall) += waited;
      time.host += length - waited;
      draw(serving::Lane::kCompute, interval.name, at, at + waited, interval.layer);
      draw(serving::Lane::kScheduler, "host", at + waited, at + length, interval.layer);
    } else {
      const bool prefill = interval.part == Part::kPrefillAttention;
      const bool attention = prefill || interval.part == Part::kDecodeAttention;
      (attention ? time.attention : time.compute) += length;
      if (prefill) time.prefill_attention += length;
      if (interval.part == Part::kCompute) time.prefill_compute += length * prefill_share;
      draw(serving::Lane::kCompute, interval.name, at, at + length, interval.layer);
    }
    at += length;
  }
  time.duration += at;

  std::erase_if(transfers_, [&](const Transfer& transfer) {
    if (!transfer.end->IsDone()) return false;
    const Seconds length = backend_.Elapsed(transfer.begin, transfer.end);
    const bool load = transfer.lane == Lane::kH2d;
    (load ? result.h2d_busy : result.d2h_busy) += length;
    const Seconds from = backend_.Elapsed(begin_, transfer.begin);
    if (timeline != nullptr) {
      // The run's clock skips what the wall clock waited, so an old copy may seem to begin early.
      SimTime& free = load ? h2d_free_ : d2h_free_;
      const SimTime begin = std::max(start + from, free);
      free = begin + length;
      timeline->Add(load ? serving::Lane::kH2d : serving::Lane::kD2h, transfer.name, begin, free,
                    transfer.layer);
    }
    return true;
  });
}

}  // namespace sparseserve::live
