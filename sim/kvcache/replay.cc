#include "sim/kvcache/replay.h"

#include <algorithm>
#include <span>

#include "sim/core/check.h"
#include "sim/kvcache/kv_cache.h"
#include "sim/kvcache/opt.h"

namespace sparseserve::kvcache {
namespace {

class Replay {
 public:
  Replay(const AccessTrace& trace, const EvictionPolicyFactory& make_policy, bool instant_saves)
      : trace_(trace), cache_(trace.config, make_policy), instant_saves_(instant_saves) {}

  std::int64_t Run() {
    for (const Access& access : trace_.accesses) Apply(access);
    return cache_.stats().loads;
  }

 private:
  void Apply(const Access& a) {
    newest_ticket_ = std::max(newest_ticket_, a.ticket);
    switch (a.kind) {
      case AccessKind::kAddRequest:
        return cache_.AddRequest(a.request);
      case AccessKind::kRemoveRequest:
        return cache_.RemoveRequest(a.request);
      case AccessKind::kReserve:
        return Insist([&] { return cache_.Reserve(a.count, space_); });
      case AccessKind::kRelease:
        return cache_.Release(space_, a.count);
      case AccessKind::kAdoptPrefill:
        NeedDram(a.request, a.count);
        return cache_.AdoptPrefill(a.request, a.count, space_, instant_saves_ ? a.count : a.from,
                                   a.ticket);
      case AccessKind::kAddSavedUnits:
        NeedDram(a.request, a.count);
        return cache_.AddSavedUnits(a.request, a.count);
      case AccessKind::kAppendBlock:
        NeedDram(a.request, cache_.num_blocks(a.request) + 1);
        Insist([&] { return cache_.AppendBlock(a.request); });
        if (instant_saves_) cache_.MarkTailDirty(a.request, 0);
        return;
      case AccessKind::kMarkTailDirty:
        if (!instant_saves_) cache_.MarkTailDirty(a.request, a.ticket);
        return;
      case AccessKind::kCompleteSaves:
        return cache_.CompleteSaves(a.ticket);
      case AccessKind::kBeginLayer:
        return cache_.BeginLayer();
      case AccessKind::kSelect:
        return Select(a);
      case AccessKind::kLoadMisses: {
        std::int64_t num_loads = 0;
        if (a.count != 0) return Insist([&] { return cache_.LoadMisses(num_loads); });
        cache_.LoadMisses(num_loads);
        return;
      }
    }
  }

  void Select(const Access& a) {
    const std::span<const Unit> units(trace_.units);
    cache_.Select(a.request, a.layer, units.subspan(next_unit_, a.count),
                  units.subspan(next_unit_ + a.count, a.from));
    next_unit_ += static_cast<std::size_t>(a.count + a.from);
  }
  template <typename Attempt>
  void Insist(Attempt attempt) {
    if (attempt()) return;
    cache_.CompleteSaves(newest_ticket_);
    SPARSESERVE_CHECK(attempt(), "the trace asks for more than its capacity");
  }
  void NeedDram(RequestIndex request, std::int64_t num_blocks) {
    SPARSESERVE_CHECK(cache_.ReserveDram(request, num_blocks), "the trace asks for more DRAM");
  }

  const AccessTrace& trace_;
  KvCache cache_;
  const bool instant_saves_;
  Reservation space_;  // all that is reserved, whoever holds it: identities do not matter here
  SaveTicket newest_ticket_ = 0;
  std::size_t next_unit_ = 0;
};

}  // namespace

std::int64_t ReplayLoads(const AccessTrace& trace, std::string_view policy) {
  if (policy == "opt") return Replay(trace, MakeOpt(trace), true).Run();
  return Replay(trace, FindEvictionPolicy(policy), false).Run();
}

}  // namespace sparseserve::kvcache
