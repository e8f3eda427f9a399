#include "sim/scheduler/paged_memory.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::scheduler {

PagedMemory::PagedMemory(const KvGeometry& geometry, Bytes hbm_for_kv)
    : geometry_(geometry),
      row_bytes_((geometry.unit_bytes + geometry.metadata_bytes) * geometry.lanes()),
      num_rows_(hbm_for_kv.value() / row_bytes_.value()),
      watermark_rows_(num_rows_ / 100),
      free_(num_rows_) {}

std::string PagedMemory::WhyNever(Tokens prompt) const {
  // One block more than the prompt, so that it can produce a token.
  const std::int64_t need = RowsFor(prompt + geometry_.block_tokens);
  if (need <= num_rows_) return "";
  return "needs " + ToString(row_bytes_ * need) + " of KV in HBM, which has room for " +
         ToString(row_bytes_ * num_rows_);
}

std::vector<std::int32_t>& PagedMemory::RowsOf(RequestIndex index) {
  if (static_cast<std::size_t>(index) >= rows_.size())
    rows_.resize(static_cast<std::size_t>(index) + 1);
  return rows_[static_cast<std::size_t>(index)];
}

void PagedMemory::Take(std::vector<std::int32_t>& rows, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(free_.Take());
  peak_rows_ = std::max(peak_rows_, used_rows());
}

bool PagedMemory::Admit(RequestIndex index, const RequestState& request) {
  const std::int64_t need = RowsFor(request.prefill_target);
  // An empty pool admits whatever fits: a request that had grown into the watermark must be able to
  // return.
  const std::int64_t spare = used_rows() > 0 ? watermark_rows_ : 0;
  if (need + spare > free_.num_free()) return false;
  std::vector<std::int32_t>& rows = RowsOf(index);
  SPARSESERVE_CHECK(rows.empty(), "a request is admitted twice");
  Take(rows, need);
  return true;
}

Grow PagedMemory::GrowDecode(RequestIndex index, const RequestState& request, SaveTicket) {
  std::vector<std::int32_t>& rows = RowsOf(index);
  const auto held = static_cast<std::int64_t>(rows.size());
  // Nearly always: one block takes many steps, and a product is cheaper than a quotient.
  if (request.context() <= geometry_.block_tokens * held) return Grow::kDone;
  const std::int64_t more = RowsFor(request.context()) - held;
  if (more > free_.num_free()) return Grow::kFull;
  Take(rows, more);
  return Grow::kDone;
}

void PagedMemory::Release(RequestIndex index) {
  std::vector<std::int32_t>& rows = RowsOf(index);
  for (const std::int32_t row : rows) free_.Return(row);
  rows.clear();
}

std::int64_t PagedMemory::AvailableUnits() const { return capacity_blocks(); }

std::int64_t PagedMemory::DecodeNeed(RequestIndex, const RequestState& request) const {
  return RowsFor(request.context()) * geometry_.lanes();
}

std::int64_t PagedMemory::PrefillNeed(const PrefillPiece&, const RequestState& request) const {
  return RowsFor(request.prefill_target) * geometry_.lanes();
}

}  // namespace sparseserve::scheduler
