#include "sim/scheduler/paged_memory.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::scheduler {

PagedMemory::PagedMemory(const KvGeometry& geometry, Bytes hbm_for_kv)
    : geometry_(geometry),
      row_bytes_((geometry.unit_bytes + geometry.metadata_bytes) * geometry.lanes()),
      num_rows_(hbm_for_kv.value() / row_bytes_.value()),
      watermark_rows_(num_rows_ / 100) {}

std::string PagedMemory::WhyNever(Tokens prompt) const {
  // One block more than the prompt, so that it can produce a token.
  const std::int64_t need = RowsFor(prompt + geometry_.block_tokens);
  if (need <= num_rows_) return "";
  return "needs " + ToString(row_bytes_ * need) + " of KV in HBM, which has room for " +
         ToString(row_bytes_ * num_rows_);
}

std::int64_t& PagedMemory::Held(RequestIndex index) {
  if (static_cast<std::size_t>(index) >= held_rows_.size())
    held_rows_.resize(static_cast<std::size_t>(index) + 1);
  return held_rows_[static_cast<std::size_t>(index)];
}

bool PagedMemory::Admit(RequestIndex index, const RequestState& request) {
  const std::int64_t need = RowsFor(request.prefill_target);
  // An empty pool admits whatever fits: a request that had grown into the watermark must be able to
  // return.
  const std::int64_t spare = used_rows_ > 0 ? watermark_rows_ : 0;
  if (used_rows_ + need + spare > num_rows_) return false;
  SPARSESERVE_CHECK(Held(index) == 0, "a request is admitted twice");
  Held(index) = need;
  used_rows_ += need;
  peak_rows_ = std::max(peak_rows_, used_rows_);
  return true;
}

Grow PagedMemory::GrowDecode(RequestIndex index, const RequestState& request, SaveTicket) {
  std::int64_t& held = Held(index);
  const std::int64_t more = RowsFor(request.context()) - held;
  if (more <= 0) return Grow::kDone;
  if (used_rows_ + more > num_rows_) return Grow::kFull;
  held += more;
  used_rows_ += more;
  peak_rows_ = std::max(peak_rows_, used_rows_);
  return Grow::kDone;
}

void PagedMemory::Release(RequestIndex index) {
  used_rows_ -= Held(index);
  SPARSESERVE_CHECK(used_rows_ >= 0, "more KV blocks freed than held");
  Held(index) = 0;
}

std::int64_t PagedMemory::AvailableUnits() const { return capacity_blocks(); }

std::int64_t PagedMemory::DecodeNeed(RequestIndex, const RequestState& request) const {
  return RowsFor(request.context()) * geometry_.lanes();
}

std::int64_t PagedMemory::PrefillNeed(const PrefillPiece&, const RequestState& request) const {
  return RowsFor(request.prefill_target) * geometry_.lanes();
}

}  // namespace sparseserve::scheduler
