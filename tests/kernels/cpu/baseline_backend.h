// The CPU backend with the kernels for the baseline of the architecture, which a CPU with AVX2
// would never run.
#pragma once

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/levels.h"

namespace sparseserve::kernels {

class BaselineBackend : public cpu::CpuBackend {
 public:
  explicit BaselineBackend(const BackendConfig& config)
      : CpuBackend(config), pool_(config.compute_threads) {}

  void BuildMetadata(const MetadataParams& params) override {
    Run(cpu::baseline::BuildMetadata, params);
  }
  void Score(const ScoreParams& params) override { Run(cpu::baseline::Score, params); }
  void DecodeAttention(const DecodeParams& params) override {
    Run(cpu::baseline::DecodeAttention, params);
  }
  void PrefillAttention(const PrefillParams& params) override {
    Run(cpu::baseline::PrefillAttention, params);
  }
  void Merge(const MergeParams& params) override { Run(cpu::baseline::Merge, params); }
  void Gemm(const GemmParams& params) override { Run(cpu::baseline::Gemm, params); }
  void Norm(const NormParams& params) override { Run(cpu::baseline::Norm, params); }
  void GatedActivation(const GatedActivationParams& params) override {
    Run(cpu::baseline::GatedActivation, params);
  }

 private:
  template <typename Params>
  void Run(void (*operation)(const Params&, ThreadPool&), const Params& params) {
    Synchronize();  // what was enqueued before comes first
    operation(params, pool_);
  }

  ThreadPool pool_;
};

}  // namespace sparseserve::kernels
