#include "sim/kvcache/unselected_log.h"

#include <algorithm>
#include <bit>

#include "sim/core/check.h"
#include "sim/kvcache/line_fetcher.h"

namespace sparseserve::kvcache {
namespace {

// Both return 0 or 1.
std::uint64_t GetBit(const std::vector<std::uint64_t>& bits, Unit unit) {
  return bits[unit >> 6] >> (unit & 63) & 1;
}

std::uint64_t Unselected(const Group& group, Unit unit) {
  const UnitBits& bits = group.bits[unit >> 6];
  return (bits.resident & ~bits.selected) >> (unit & 63) & 1;
}

}  // namespace

UnselectedLog::Node UnselectedLog::MakeNode(GroupIndex group) {
  if (free_nodes_.empty()) {
    free_nodes_.push_back(static_cast<Node>(batches_.size()));
    batches_.emplace_back();
    list_.Resize(static_cast<std::int64_t>(batches_.size()));
  }
  const Node node = free_nodes_.back();
  free_nodes_.pop_back();
  batches_[node] = {.group = group};
  return node;
}

void UnselectedLog::FreeNode(Node node) {
  if (list_.linked(node)) list_.Unlink(node);
  free_nodes_.push_back(node);
}

void UnselectedLog::Enter(GroupIndex index, std::span<const Unit> units, Node position) {
  if (static_cast<std::size_t>(index) >= logs_.size()) logs_.resize(index + 1);
  GroupLog& log = logs_[index];
  const Group& group = state_.groups[index];
  log.has_new.resize(group.bits.size(), 0);
  const auto next = static_cast<std::size_t>(std::max(group.successor, 0));
  LineFetcher ahead(logs_[next < logs_.size() ? next : 0].has_new);
  const UnitBits* const bits = group.bits.data();
  std::uint64_t* const has_new = log.has_new.data();
  const std::size_t begin = log.entries.size();
  log.entries.resize(begin + units.size());
  Unit* end = log.entries.data() + begin;
  for (const Unit unit : units) {
    ahead.FetchOne();
    const std::uint64_t resident = bits[unit >> 6].resident >> (unit & 63) & 1;
    has_new[unit >> 6] |= resident << (unit & 63);
    *end = unit;
    end += resident;
  }
  const auto size = static_cast<std::size_t>(end - log.entries.data());
  log.entries.resize(size);
  if (size == begin) return;
  SPARSESERVE_CHECK(size <= ~std::uint32_t{0}, "too many entries");
  const Node node = MakeNode(index);
  batches_[node].begin = static_cast<std::uint32_t>(begin);
  batches_[node].end = static_cast<std::uint32_t>(size);
  list_.InsertBefore(node, position);
  log.batches.push_back(node);
  if (size + log.batches.size() > log.clean_at) Clean(index);
}

void UnselectedLog::Clean(GroupIndex index) {
  GroupLog& log = logs_[index];
  const Group& group = state_.groups[index];
  // Without branches: which entries are good is hard to predict.
  const auto drop_if = [](std::uint64_t stale, Unit& entry) {
    entry |= stale != 0 ? kNoUnit : Unit{0};
  };
  for (std::size_t i = 0; i < log.num_old; ++i) {
    const Unit unit = log.entries[i];
    drop_if((Unselected(group, unit) ^ 1) | GetBit(log.has_new, unit), log.entries[i]);
  }
  for (std::size_t i = log.entries.size(); i-- > log.num_old;) {
    const Unit unit = log.entries[i];
    const std::uint64_t is_last = GetBit(log.has_new, unit);
    log.has_new[unit >> 6] &= ~(std::uint64_t{1} << (unit & 63));
    drop_if((is_last & Unselected(group, unit)) ^ 1, log.entries[i]);
  }
  std::uint32_t size = 0;
  std::erase_if(log.batches, [&](Node node) {
    Batch& batch = batches_[node];
    const std::uint32_t begin = size;
    for (std::uint32_t i = batch.begin; i < batch.end; ++i) {
      log.entries[size] = log.entries[i];
      size += log.entries[size] != kNoUnit;
    }
    batch.begin = begin;
    batch.end = size;
    if (begin == size) FreeNode(node);
    return begin == size;
  });
  log.entries.resize(size);
  log.num_old = size;
  log.clean_at = 2 * (size + log.batches.size()) + group.num_units() / 8 + 64;
}

std::int64_t UnselectedLog::EvictNext(Node before, std::int64_t count,
                                      std::vector<Victim>& victims) {
  const Node node = list_.next(before);
  const GroupIndex index = batches_[node].group;
  GroupLog& log = logs_[index];
  if (batches_[node].end > log.num_old) {
    Clean(index);
    if (list_.next(before) != node) return 0;  // nothing of it was good
  }
  const Group& group = state_.groups[index];
  Batch& batch = batches_[node];
  Unit* const entries = log.entries.data();
  std::int64_t num_taken = 0;
  std::uint32_t next = batch.begin, kept_end = batch.begin;
  for (; next < batch.end && num_taken < count; ++next) {
    const Unit unit = entries[next];
    if (!Unselected(group, unit) || GetBit(log.has_new, unit)) continue;
    if (unit >= group.first_dirty) {
      entries[kept_end++] = unit;
      continue;
    }
    victims.push_back({index, unit});
    ++num_taken;
  }
  // What is kept stands right before what was not visited.
  Unit* const kept = std::move_backward(entries + batch.begin, entries + kept_end, entries + next);
  batch.begin = static_cast<std::uint32_t>(kept - entries);
  if (batch.begin == batch.end) list_.Unlink(node);  // Clean frees it
  return num_taken;
}

void UnselectedLog::End(GroupIndex index) {
  if (static_cast<std::size_t>(index) >= logs_.size()) return;
  for (const Node node : logs_[index].batches) FreeNode(node);
  logs_[index] = {};
}

void UnselectedLog::AuditLog(const GroupLog& log, const Group& group) const {
  SPARSESERVE_CHECK(log.entries.size() + log.batches.size() <= log.clean_at, "the log overflows");
  std::vector<bool> is_met(group.num_units(), false);
  std::vector<std::uint64_t> has_new(log.has_new.size(), 0);
  std::int64_t num_good = 0;
  for (auto node = log.batches.rbegin(); node != log.batches.rend(); ++node) {
    const Batch& batch = batches_[*node];
    SPARSESERVE_CHECK(list_.linked(*node) == (batch.begin < batch.end), "batch off the list");
    for (std::uint32_t i = batch.end; i-- > batch.begin;) {
      const Unit unit = log.entries[i];
      if (i >= log.num_old) has_new[unit >> 6] |= std::uint64_t{1} << (unit & 63);
      num_good += Unselected(group, unit) && !is_met[unit];
      is_met[unit] = true;
    }
  }
  SPARSESERVE_CHECK(has_new == log.has_new, "new entries and their bits disagree");
  std::int64_t num_unselected = 0;
  for (const UnitBits& bits : group.bits) {
    num_unselected += std::popcount(bits.resident & ~bits.selected);
  }
  SPARSESERVE_CHECK(num_good == num_unselected, "a unit that is not selected is in no batch");
}

void UnselectedLog::Audit() const {
  for (std::size_t i = 0; i < state_.groups.size(); ++i) {
    AuditLog(i < logs_.size() ? logs_[i] : GroupLog{}, state_.groups[i]);
  }
}

}  // namespace sparseserve::kvcache
