// All KV in HBM, in blocks of all layers and heads, as vLLM's PagedAttention keeps it (Kwon et al.,
// SOSP '23).
//
// A request is admitted when its whole prompt fits beside a watermark of 1 % that keeps room for
// growth (vLLM's BlockSpaceManager); it grows block by block while it decodes. Metadata of a sparse
// policy lies beside each block.
#pragma once

#include <vector>

#include "sim/kvcache/free_list.h"
#include "sim/scheduler/kv_memory.h"

namespace sparseserve::scheduler {

class PagedMemory : public KvMemory {
 public:
  PagedMemory(const KvGeometry& geometry, Bytes hbm_for_kv);

  std::string WhyNever(Tokens prompt) const override;
  bool Admit(RequestIndex index, const RequestState& request) override;
  Grow GrowPrefill(const PrefillPiece&, const RequestState&) override { return Grow::kDone; }
  void FinishPrefill(RequestIndex, const RequestState&, SaveTicket) override {}
  Grow GrowDecode(RequestIndex index, const RequestState& request, SaveTicket ticket) override;
  void Release(RequestIndex index) override;

  // The block table: where block `block` of a request lies, in rows of all layers and heads.
  std::int32_t Row(RequestIndex index, std::int64_t block) const {
    return rows_[static_cast<std::size_t>(index)][static_cast<std::size_t>(block)];
  }

  std::int64_t AvailableUnits() const override;
  std::int64_t HeldUnits() const override { return 0; }
  std::int64_t DecodeNeed(RequestIndex index, const RequestState& request) const override;
  std::int64_t PrefillNeed(const PrefillPiece& piece, const RequestState& request) const override;

  Bytes hbm_used() const override { return row_bytes_ * used_rows(); }
  Bytes dram_used() const override { return Bytes(0); }
  std::int64_t capacity_blocks() const override { return num_rows_ * geometry_.lanes(); }
  std::int64_t hbm_peak_blocks() const override { return peak_rows_ * geometry_.lanes(); }
  Bytes dram_peak() const override { return Bytes(0); }

 private:
  std::int64_t RowsFor(Tokens tokens) const {
    return BlocksFor(tokens, geometry_.block_tokens).value();
  }
  std::int64_t used_rows() const { return num_rows_ - free_.num_free(); }
  std::vector<std::int32_t>& RowsOf(RequestIndex index);
  void Take(std::vector<std::int32_t>& rows, std::int64_t count);

  KvGeometry geometry_;
  Bytes row_bytes_;  // one block of all layers and heads, with its metadata
  std::int64_t num_rows_ = 0;
  std::int64_t watermark_rows_ = 0;
  std::int64_t peak_rows_ = 0;
  kvcache::FreeList free_;
  std::vector<std::vector<std::int32_t>> rows_;  // by request, by block
};

}  // namespace sparseserve::scheduler
