// Every invariant of the KV cache, recounted from scratch.
#include <algorithm>

#include "sim/core/check.h"
#include "sim/kvcache/kv_cache_impl.h"

namespace sparseserve::kvcache {
namespace {

void AuditSlots(const KvCacheConfig& config, const CacheState& state, const FreeList& slots,
                std::int64_t num_reserved) {
  std::vector<bool> is_taken(static_cast<std::size_t>(config.hbm_slots), false);
  const auto take = [&](Slot slot) {
    SPARSESERVE_CHECK(slot >= 0 && slot < slots.next_unused(), "a slot that was never out");
    SPARSESERVE_CHECK(!is_taken[slot], "a slot is free twice, or has two owners, or both");
    is_taken[slot] = true;
  };
  for (const Slot slot : slots.returned()) take(slot);
  std::int64_t num_owned = 0;
  for (const Group& group : state.groups) {
    ForEachSlot(group, [&](Slot slot) {
      take(slot);
      ++num_owned;
    });
  }
  SPARSESERVE_CHECK(num_owned == state.num_resident, "resident units miscounted");
  SPARSESERVE_CHECK(slots.num_free() + num_reserved + num_owned == config.hbm_slots,
                    "free + reserved + resident != capacity");
}

// Returns the group's part of the working set, and its dirty resident units in `num_dirty`.
std::int64_t AuditGroup(const Group& group, std::int64_t& num_dirty) {
  std::int64_t num_selected = 0, num_held = 0, num_in_window = 0;
  for (Unit unit = 0; unit < group.num_units(); ++unit) {
    num_selected += group.selected(unit);
    num_held += group.selected(unit) && group.resident(unit);
    num_in_window += group.in_window(unit);
    num_dirty += group.resident(unit) && unit >= group.first_dirty;
  }
  SPARSESERVE_CHECK(num_selected == group.num_selected, "selected units miscounted");
  SPARSESERVE_CHECK(num_held == group.num_held, "held units miscounted");
  SPARSESERVE_CHECK(group.window.Consistent(group.bits), "window queue and counts disagree");
  return num_in_window;
}

}  // namespace

void KvCache::Audit() const {
  const Impl& c = *impl_;
  AuditSlots(c.config, c.state, c.slots, c.num_reserved);
  std::int64_t num_rows = 0, all_dirty = 0;
  std::vector<bool> row_taken(static_cast<std::size_t>(c.config.dram_blocks), false);
  for (std::size_t i = 0; i < c.requests.size(); ++i) {
    const Request& r = c.requests[i];
    if (!r.active) continue;
    num_rows += static_cast<std::int64_t>(r.dram_rows.size());
    for (const std::int32_t row : r.dram_rows) {
      SPARSESERVE_CHECK(!row_taken[row], "a DRAM row has two owners");
      row_taken[row] = true;
    }
    const auto dirty = std::find_if(r.tickets.begin(), r.tickets.end(),
                                    [&](SaveTicket ticket) { return ticket > c.saved_up_to; });
    SPARSESERVE_CHECK(dirty - r.tickets.begin() == r.first_dirty_block, "dirty blocks misplaced");
    SPARSESERVE_CHECK(std::is_sorted(dirty, r.tickets.end()), "tickets fall");
    std::int64_t working_set = 0, num_dirty = 0;
    for (std::int64_t layer = 0; layer < c.config.num_layers; ++layer) {
      const GroupIndex index = c.GroupOf(static_cast<RequestIndex>(i), layer);
      working_set += AuditGroup(c.state.groups[index], num_dirty);
    }
    SPARSESERVE_CHECK(working_set == r.working_set, "working set miscounted");
    SPARSESERVE_CHECK(num_dirty == r.num_dirty_resident, "dirty units miscounted");
    all_dirty += num_dirty;
  }
  SPARSESERVE_CHECK(num_rows + c.rows.num_free() == c.config.dram_blocks, "DRAM rows lost");
  SPARSESERVE_CHECK(all_dirty == c.num_dirty_resident, "dirty units miscounted");
  for (const GroupIndex index : c.in_use) {
    SPARSESERVE_CHECK(c.state.groups[index].in_use, "in-use mark lost");
  }
  c.policy->Audit();
}

}  // namespace sparseserve::kvcache
