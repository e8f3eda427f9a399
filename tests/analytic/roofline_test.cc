// No iteration of a run is faster than the machine's data sheet: floating-point operations over
// peak, bytes that must be read over HBM bandwidth, bytes over the host link.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "models/llm/architecture.h"
#include "tests/sim/serving/test_systems.h"
#include "traces/workload.h"

namespace sparseserve::serving {
namespace {

// Lower bounds from what an iteration is known to have done; of one GPU.
class Roofline {
 public:
  explicit Roofline(const SystemConfig& config) : config_(config), model_(config.model) {
    for (std::int64_t layer = 0; layer < model_.num_layers; ++layer) {
      layer_weights_ += (llm::ProjectionWeightBytes(model_) + llm::OutputWeightBytes(model_) +
                         llm::MlpWeightBytes(model_, layer, Tokens(1)))
                            .value();
    }
    token_flops_ = (llm::ProjectionFlopsPerToken(model_) + llm::OutputFlopsPerToken(model_) +
                    llm::MlpFlopsPerToken(model_, 0))
                       .value();
  }

  // Every token of the batch passes the linear layers; decodes pass the head too.
  double FlopsTime(const metrics::IterationRecord& r) const {
    const double token_layers =
        static_cast<double>(r.prefill_token_layers + r.num_decodes * model_.num_layers);
    const double flops = token_layers * token_flops_ + static_cast<double>(r.num_decodes) *
                                                           llm::HeadFlopsPerToken(model_).value();
    return flops / static_cast<double>(config_.tensor_parallel) /
           config_.machine.gpu.bf16_flops.value();
  }

  // A decode reads all weights, and every block it selects; of the newest block, at least nothing.
  double BytesTime(const metrics::IterationRecord& r) const {
    if (r.num_decodes == 0) return 0;
    const scheduler::KvGeometry geometry = ComputeGeometry(config_);
    const std::int64_t blocks =
        std::max<std::int64_t>(0, r.block_touches - r.num_decodes * geometry.lanes());
    const auto weights = static_cast<double>(layer_weights_ + llm::HeadWeightBytes(model_).value());
    return (weights / static_cast<double>(config_.tensor_parallel) +
            static_cast<double>((geometry.unit_bytes * blocks).value())) /
           config_.machine.gpu.hbm_bandwidth.value();
  }

 private:
  const SystemConfig& config_;
  const llm::Architecture& model_;
  std::int64_t layer_weights_ = 0;
  double token_flops_ = 0;
};

class RooflineTest : public ::testing::Test, public metrics::IterationSink {
 protected:
  void Run(const std::string& experiment) {
    const char* requests = std::getenv("SPARSESERVE_ROOFLINE_REQUESTS");  // scripts/trust: more
    const config::Experiment e = config::LoadExperiment(
        experiment, {std::string("workload.num_requests=") + (requests ? requests : "3")}, ".");
    for (const SystemConfig& system : e.systems) {
      config_ = &system;
      const Roofline roofline(system);
      roofline_ = &roofline;
      metrics::Collector collector(this);
      RunSimulation(system, *traces::OpenWorkload(e.workload), {}, collector, {});
    }
  }

  void OnIteration(const metrics::IterationRecord& r) override {
    ++iterations_;
    const std::string where = config_->choice.name + ", iteration " + std::to_string(r.index);
    const double work = (r.compute + r.attention).value();
    Expect("FLOPs", work, roofline_->FlopsTime(r), where);
    Expect("HBM bytes", work, roofline_->BytesTime(r), where);
    const hardware::HostLink& link = config_->machine.link;
    Expect("H2D lane", r.h2d_busy.value(), (r.h2d_bytes / link.h2d_bandwidth).value(), where);
    Expect("H2D bytes", (r.end - r.begin).value(), r.h2d_busy.value(), where);
    Expect("D2H lane", r.d2h_busy.value(), (r.d2h_bytes / link.d2h_bandwidth).value(), where);
    const Seconds parts = r.compute + r.attention + r.load_stall + r.save_stall + r.host;
    EXPECT_NEAR((r.end - r.begin).value(), parts.value(), 1e-9) << where;
  }

  void TearDown() override {
    RecordProperty("iterations", std::to_string(iterations_));
    RecordProperty("closest_to_bound", std::to_string(closest_));
  }

 private:
  void Expect(const char* bound, double time, double least, const std::string& where) {
    if (least <= 0) return;
    closest_ = std::min(closest_, time / least);
    EXPECT_GE(time, least * (1 - 1e-9) - 1e-9) << bound << ", " << where;
  }

  const SystemConfig* config_ = nullptr;
  const Roofline* roofline_ = nullptr;
  std::int64_t iterations_ = 0;
  double closest_ = 1e9;
};

TEST_F(RooflineTest, LongBenchOnAnA100) { Run("configs/run/longbench.yaml"); }
TEST_F(RooflineTest, MooncakeOnAnH100) { Run("configs/run/mooncake.yaml"); }

}  // namespace
}  // namespace sparseserve::serving
