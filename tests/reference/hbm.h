// HBM and DRAM of one replica, the slow and obvious way: every figure is counted anew from the
// requests when it is asked for, every victim is found by a scan over all units.
#pragma once

#include <vector>

#include "sim/scheduler/kv_memory.h"
#include "tests/reference/request.h"

namespace sparseserve::reference {

using scheduler::Grow;
using scheduler::KvGeometry;

class Hbm {
 public:
  Hbm(const SystemConfig& config, const KvGeometry& geometry, std::int64_t hbm_bytes,
      std::int64_t dram_bytes);

  // --- what the scheduler asks; `running` are the replica's admitted requests ---
  bool Admit(Request& request);
  Grow GrowPrefill(const Piece& piece);
  void FinishPrefill(Request& request, std::uint32_t ticket);
  Grow GrowDecode(Request& request, std::uint32_t ticket);
  void Release(Request& request);
  void BeginPlan();
  std::int64_t WorkingSetRoom() const;
  std::int64_t HeldByPrefills() const;
  std::int64_t DecodeNeed(const Request& request) const;
  std::int64_t PrefillNeed(const Piece& piece) const;

  // --- what the executor asks ---
  void BeginLayer();
  void Select(Request& request, std::int64_t layer, const std::vector<std::uint32_t>& added,
              const std::vector<std::uint32_t>& removed);
  // Units that become resident; false: too much of HBM is dirty or in use, call again later.
  bool LoadMisses(std::int64_t layer, std::int64_t& loads);
  void CompleteSaves(std::uint32_t ticket) { saved_ = std::max(saved_, ticket); }

  std::int64_t hbm_used() const;
  std::int64_t dram_used() const;
  std::int64_t BlocksOf(std::int64_t tokens) const;
  std::int64_t touches() const { return touches_; }
  std::int64_t evictions() const { return evictions_; }

 private:
  template <typename Visit>
  void ForEachUnit(Visit visit) const;
  bool Pinned(const Layer& layer, const Unit& unit) const;
  std::int64_t Reserved() const;
  std::int64_t Resident() const;
  std::int64_t Free() const { return slots_ - Reserved() - Resident(); }
  std::int64_t Evictable() const;
  bool MakeRoom(std::int64_t slots);
  void EvictOne();
  std::int64_t MetadataSlots(std::int64_t blocks) const;
  std::int64_t PrefillSlots(std::int64_t tokens) const;
  std::int64_t FloorSlots(std::int64_t blocks) const;
  bool FitsBesideDecodes(std::int64_t slots) const;
  bool ReserveMetadata(Request& request, std::int64_t slots);
  void CreateUnits(Request& request, std::int64_t blocks, std::uint32_t ticket, bool resident);

  const SystemConfig& config_;
  KvGeometry geometry_;
  bool offloads_, chunked_;
  std::int64_t row_bytes_;         // resident systems: a block of all layers with its metadata
  std::int64_t rows_, slots_ = 0;  // HBM in rows, in units
  std::int64_t dram_rows_ = 0;
  std::vector<Request*> live_;     // admitted and not released
  std::int64_t decode_slots_ = 0;  // floors of the decodes planned so far
  std::uint32_t saved_ = 0;
  std::int64_t tick_ = 0, touches_ = 0, evictions_ = 0;
};

}  // namespace sparseserve::reference
