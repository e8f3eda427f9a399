// How long each operation of an iteration takes: work -> Seconds. No clock, no state.
//
// Every operation is one of two things: a curve of the machine's calibration record where it has
// one (launch + items * per_item + bytes / bandwidth + flops / rate, or a measured grid), otherwise
// a roofline, max(flops / (efficiency * peak), bytes / (efficiency * bandwidth)) + launch, with the
// efficiencies that the record states. Neither is ever faster than the data sheet. An estimate says
// when it left the range in which its curve was measured. More work never takes less time.
//
// All times are of one GPU. Under tensor parallelism of degree tp each GPU does 1/tp of the heads,
// projections and MLP, and two all-reduces a layer join them: what is counted in tokens is divided
// here. Units, rows, blocks and bytes count what this GPU holds (KV heads over tp, at least one: an
// MLA latent is held by every GPU).
//
// Not modelled: tile and wave quantisation of GEMMs, power capping, the imbalance of experts, the
// all-reduce of scores when all GPUs share one choice, host work that the record does not hold
// (engine.host_overhead).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "calibration/record.h"
#include "models/cost/operation.h"
#include "models/hardware/hardware.h"
#include "models/llm/architecture.h"
#include "sim/core/units.h"

namespace sparseserve::cost {

enum class LoadMethod : std::uint8_t { kMemcpyPerBlock, kFlashH2d };
enum class SaveMethod : std::uint8_t { kMemcpyPerBlock, kGpuDirect, kFlashD2h };

// One piece of prefill in one layer: query tokens [begin, end) attend causally to [0, end).
struct PrefillSpan {
  Tokens begin;
  Tokens end;
};

struct CostConfig {
  std::int64_t tensor_parallel = 1;
  std::int64_t gpus_sharing_host = 1;  // GPUs of one host that load and save at the same time
};

class CostModel {
 public:
  // Throws InputError if the record lacks what an operation needs, or the machine cannot run the
  // configuration.
  CostModel(const llm::Architecture& model, const hardware::Machine& machine,
            const calibration::Record& record, CostConfig config);

  // --- compute, one layer, on `tokens` of the batch ---
  Estimate Projection(Tokens tokens) const;  // norm; q, k, v GEMM; rotation and cache write
  Estimate OutputAndMlp(std::int64_t layer,
                        Tokens tokens) const;  // attention output, MLP, both all-reduces
  // Layers with equal cost have equal kinds: 0 .. num_layer_kinds() - 1.
  std::int64_t LayerKind(std::int64_t layer) const;
  std::int64_t num_layer_kinds() const { return num_layer_kinds_; }
  // Full causal attention of the spans in one launch; re-reads the KV of earlier chunks.
  Estimate PrefillAttention(std::span<const PrefillSpan> spans) const;
  // One query token per request over `kv_tokens` cached tokens in all (the selected ones when
  // sparse; per KV head, of all requests). `sparse`: gathered blocks instead of a full pass.
  Estimate DecodeAttention(std::int64_t num_requests, Tokens kv_tokens, bool sparse) const;
  // Scoring the metadata of `num_units` (head, block) entries of `metadata_bytes` each, and top-k
  // over `rows` rows of `blocks_per_row` scores.
  Estimate Score(std::int64_t num_units, Bytes metadata_bytes) const;
  Estimate TopK(std::int64_t rows, std::int64_t blocks_per_row) const;
  Estimate Head(Tokens tokens) const;  // final norm, logits, sampling: once per iteration

  // --- transfers, on this GPU's share of the host link ---
  Estimate Load(LoadMethod method, Bytes block_bytes, std::int64_t num_blocks) const;
  // Time until the link is free again (the DMA part) of saving `num_blocks` fragments of
  // `block_bytes`.
  Estimate Save(SaveMethod method, Bytes block_bytes, std::int64_t num_blocks) const;
  // CPU threads copying `bytes` in fragments of `block_bytes` from staging into DRAM blocks
  // (FlashD2H).
  Estimate Scatter(Bytes bytes, Bytes block_bytes) const;
  // Factor >= 1 on compute that runs while such a transfer is active.
  double ComputeSlowdown(LoadMethod method) const;
  double ComputeSlowdown(SaveMethod method) const;
  // Factor <= 1 on decode attention of whose blocks this share was loaded right before, and may
  // still be in a cache of the device (slowdowns.cold.*; 1 where the record lacks it).
  double AfterLoad(LoadMethod method, double loaded_share) const;

  // --- the engine's own work on the host, where the record has it measured; otherwise none ---
  // Between two iterations, with so many requests in the batch.
  Estimate HostIteration(std::int64_t requests) const;
  // In a layer that selects `units`, from the end of top-k: until a load can begin, and until
  // attention can where nothing is loaded.
  Estimate HostSelect(std::int64_t units) const;
  Estimate HostAttend(std::int64_t units) const;
  // The latter where all KV stays in HBM.
  Estimate HostAttendResident(std::int64_t units) const;
  // What a load takes beyond its curve until compute goes on, since it is alone in its layer.
  Seconds handover() const { return handover_; }
  // What handing a layer's save to its lane takes the compute lane.
  Seconds save_handover() const { return save_handover_; }

  // What was used for each operation and where it comes from, for the result: "h2d.flash:
  // published, ...".
  std::vector<std::string> Provenance() const { return provenance_; }

 private:
  // One GEMM over the tokens of a batch on one GPU, with the small kernels that go with it (norm,
  // activation, ...), whose traffic the GEMM cannot hide.
  struct Gemm {
    double flops_per_token = 0;
    double weight_bytes = 0;
    double io_bytes_per_token = 0;
    double elementwise_bytes_per_token = 0;
    double elementwise_kernels = 0;
  };
  struct Mlp {
    Gemm up;  // gate and up together
    Gemm down;
    bool is_mixture = false;  // weight bytes depend on the batch
    std::int64_t layer = 0;   // one of its layers
  };
  class Builder;

  Estimate GemmTime(const Gemm& gemm, double weight_bytes, Tokens tokens) const;
  Estimate ElementwiseTime(const Gemm& gemm, Tokens tokens) const;
  Estimate MlpTime(const Mlp& mlp, Tokens tokens) const;
  Estimate AllReduce(Tokens tokens) const;

  llm::Architecture model_;
  std::int64_t tensor_parallel_ = 1;
  std::int64_t num_layer_kinds_ = 1;
  std::int64_t first_layer_of_last_kind_ = 0;
  Seconds kernel_;  // launch and drain of one kernel
  double elementwise_seconds_per_byte_ = 0;
  Operation elementwise_;               // of a layer, where the record has it measured
  Bytes layer_elementwise_item_;        // as it was measured, of a token
  double layer_elementwise_bytes_ = 0;  // as Gemm counts them, of a token; 0: no such curve

  Gemm projection_;
  Gemm output_;
  std::array<Mlp, 2> mlp_;  // by layer kind
  double up_share_ = 0;     // of an MLP's weights and FLOPs
  Gemm head_;

  // One query token, one cached token, this GPU's heads; latents are expanded for prefill only.
  double decode_flops_per_pair_ = 0;
  double prefill_flops_per_pair_ = 0;
  double tile_flops_per_key_ = 0;     // all SMs busy with one query tile each
  double kv_bytes_per_token_ = 0;     // one layer, this GPU's heads
  double query_bytes_per_token_ = 0;  // queries read, outputs written
  double query_tokens_per_pass_ = 0;  // query tokens that share one pass over the KV
  double hidden_bytes_per_token_ = 0;

  Operation gemm_, prefill_, decode_full_, decode_sparse_, score_, topk_, allreduce_, scatter_;
  Operation host_iteration_, host_select_, host_attend_, host_attend_resident_;
  Seconds handover_, save_handover_;
  std::array<Operation, 2> load_;  // by method
  std::array<Operation, 3> save_;
  std::array<double, 2> load_slowdown_{};
  std::array<double, 2> cold_read_{1, 1};
  std::array<double, 3> save_slowdown_{};
  std::vector<std::string> provenance_;
};

}  // namespace sparseserve::cost
