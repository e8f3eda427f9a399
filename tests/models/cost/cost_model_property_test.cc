// What holds for every operation on every work: the roofline is a lower bound, more work never
// takes less time, and faster hardware never takes more.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "models/cost/cost_model.h"
#include "tests/models/cost/cost_fixtures.h"

namespace sparseserve::cost {
namespace {

// An operation as time over two sizes of work, both of which count as more.
struct Probe {
  std::string name;
  std::function<double(const CostModel&, std::int64_t, std::int64_t)> time_s;
};

std::vector<Probe> AllProbes() {
  std::vector<Probe> probes = {
      {"projection", [](const CostModel& c, std::int64_t n,
                        std::int64_t) { return c.Projection(Tokens(n)).time.value(); }},
      {"output and first mlp",
       [](const CostModel& c, std::int64_t n, std::int64_t) {
         return c.OutputAndMlp(0, Tokens(n)).time.value();
       }},
      {"output and last mlp",
       [](const CostModel& c, std::int64_t n, std::int64_t) {
         return c.OutputAndMlp(31, Tokens(n)).time.value();
       }},
      {"head", [](const CostModel& c, std::int64_t n,
                  std::int64_t) { return c.Head(Tokens(n)).time.value(); }},
      {"prefill by queries",
       [](const CostModel& c, std::int64_t n, std::int64_t m) {
         const PrefillSpan span{Tokens(m), Tokens(m + n)};
         return c.PrefillAttention({&span, 1}).time.value();
       }},
      {"prefill by spans",
       [](const CostModel& c, std::int64_t n, std::int64_t m) {
         const PrefillSpan spans[] = {{Tokens(0), Tokens(n)}, {Tokens(m), Tokens(m + m)}};
         return c.PrefillAttention(spans).time.value();
       }},
      {"decode full",
       [](const CostModel& c, std::int64_t n, std::int64_t m) {
         return c.DecodeAttention(n, Tokens(n + m), false).time.value();
       }},
      {"decode sparse",
       [](const CostModel& c, std::int64_t n, std::int64_t m) {
         return c.DecodeAttention(n, Tokens(n + m), true).time.value();
       }},
      {"score", [](const CostModel& c, std::int64_t n,
                   std::int64_t m) { return c.Score(n, Bytes(m)).time.value(); }},
      {"top-k", [](const CostModel& c, std::int64_t n,
                   std::int64_t m) { return c.TopK(n, m).time.value(); }},
      {"scatter", [](const CostModel& c, std::int64_t n, std::int64_t) {
         return c.Scatter(Bytes(n), Bytes(16384)).time.value();
       }}};
  for (const LoadMethod method : {LoadMethod::kMemcpyPerBlock, LoadMethod::kFlashH2d}) {
    probes.push_back({"load", [method](const CostModel& c, std::int64_t n, std::int64_t m) {
                        return c.Load(method, Bytes(m), n).time.value();
                      }});
  }
  for (const SaveMethod method :
       {SaveMethod::kMemcpyPerBlock, SaveMethod::kGpuDirect, SaveMethod::kFlashD2h}) {
    probes.push_back({"save", [method](const CostModel& c, std::int64_t n, std::int64_t m) {
                        return c.Save(method, Bytes(m), n).time.value();
                      }});
  }
  return probes;
}

const std::vector<std::int64_t> kSizes = {1,     2,     7,     31,     32,     127,   128,
                                          129,   500,   1024,  2049,   4096,   10000, 13824,
                                          13825, 32768, 65536, 131072, 1000000};

std::vector<llm::Architecture> Models() { return {Llama3_8b(), Lwm7b(), Mixture()}; }

TEST(CostModelProperty, MoreWorkNeverTakesLess) {
  for (const llm::Architecture& model : Models()) {
    for (const std::int64_t tp : {1, 4}) {
      const CostModel cost = TestModel(model, {.tensor_parallel = tp, .gpus_sharing_host = tp});
      for (const Probe& probe : AllProbes()) {
        for (std::size_t i = 0; i + 1 < kSizes.size(); ++i) {
          for (const std::int64_t other : kSizes) {
            const std::string at = model.name + " " + probe.name + " " + std::to_string(kSizes[i]) +
                                   " " + std::to_string(other);
            const double time = probe.time_s(cost, kSizes[i], other);
            EXPECT_GT(time, 0) << at;
            EXPECT_GE(probe.time_s(cost, kSizes[i + 1], other), time * (1 - 1e-12)) << at;
            EXPECT_GE(probe.time_s(cost, other, kSizes[i + 1]),
                      probe.time_s(cost, other, kSizes[i]) * (1 - 1e-12))
                << at;
          }
        }
      }
    }
  }
}

TEST(CostModelProperty, FasterHardwareNeverTakesLonger) {
  const std::function<void(hardware::Machine&)> kImprovements[] = {
      [](hardware::Machine& m) { m.gpu.hbm_bandwidth = m.gpu.hbm_bandwidth * 2; },
      [](hardware::Machine& m) { m.gpu.bf16_flops = m.gpu.bf16_flops * 2; },
      [](hardware::Machine& m) { m.gpu.gpu_link_bandwidth = m.gpu.gpu_link_bandwidth * 2; },
      [](hardware::Machine& m) { m.link.h2d_bandwidth = m.link.h2d_bandwidth * 2; },
      [](hardware::Machine& m) { m.link.d2h_bandwidth = m.link.d2h_bandwidth * 2; },
      [](hardware::Machine& m) { m.host.dram_bandwidth = m.host.dram_bandwidth * 2; },
      [](hardware::Machine& m) { m.host.num_cores *= 2; }};
  const CostConfig config{.tensor_parallel = 4, .gpus_sharing_host = 8};
  const std::vector<Probe> probes = AllProbes();
  for (const llm::Architecture& model : Models()) {
    const CostModel before(model, TestMachine(), TestRecord(), config);
    for (const auto& improve : kImprovements) {
      hardware::Machine machine = TestMachine();
      improve(machine);
      const CostModel after(model, machine, TestRecord(), config);
      bool any_gain = false;
      for (const Probe& probe : probes) {
        for (const std::int64_t n : kSizes) {
          for (const std::int64_t m : {128, 16384}) {
            const double slow = probe.time_s(before, n, m);
            const double fast = probe.time_s(after, n, m);
            EXPECT_LE(fast, slow * (1 + 1e-12)) << probe.name << " " << n << " " << m;
            any_gain |= fast < slow;
          }
        }
      }
      // Cores are plentiful in TestMachine (8 a GPU for 4 threads); all else must matter somewhere.
      const bool is_cores = machine.host.num_cores != TestMachine().host.num_cores;
      EXPECT_NE(any_gain, is_cores);
    }
  }
}

// time >= flops / peak and time >= bytes / bandwidth of the data sheet, even if every efficiency is
// one, every launch free and every curve absurdly fast.
TEST(CostModelProperty, NothingBeatsTheDataSheet) {
  calibration::Record record = TestRecord();
  for (auto& [name, curve] : record.operations) {
    curve.launch = Seconds(0);
    curve.per_item = Seconds(0);
    curve.bandwidth = BytesPerSecond(1e18);
  }
  for (auto& [name, efficiency] : record.efficiencies) efficiency.value = 1;
  record.latencies["kernel"].value = 0;
  const llm::Architecture model = Llama3_8b();
  const hardware::Machine machine = TestMachine();
  const CostModel cost(model, machine, record, {});
  const double flops = machine.gpu.bf16_flops.value();
  const double hbm = machine.gpu.hbm_bandwidth.value();
  const auto expect = [](double time, double bound) { EXPECT_GE(time, bound * (1 - 1e-12)); };
  for (const std::int64_t size : kSizes) {
    const auto n = static_cast<double>(size);
    const double projection_flops = ProjectionFlopsPerToken(model).value() * n;
    expect(cost.Projection(Tokens(size)).time.value(),
           std::max(projection_flops / flops,
                    static_cast<double>(ProjectionWeightBytes(model).value()) / hbm));
    const double mlp_flops = (OutputFlopsPerToken(model) + MlpFlopsPerToken(model, 0)).value() * n;
    expect(
        cost.OutputAndMlp(0, Tokens(size)).time.value(),
        std::max(mlp_flops / flops,
                 static_cast<double>(
                     (OutputWeightBytes(model) + MlpWeightBytes(model, 0, Tokens(size))).value()) /
                     hbm));
    const PrefillSpan span{Tokens(0), Tokens(size)};
    expect(cost.PrefillAttention({&span, 1}).time.value(),
           n * (n + 1) / 2 * PrefillAttentionFlopsPerQueryKey(model).value() / flops);
    const double kv = static_cast<double>(KvBytesPerTokenPerLayer(model).value());
    expect(cost.DecodeAttention(1, Tokens(size), true).time.value(), n * kv / hbm);
    expect(cost.Score(size, Bytes(512)).time.value(), n * 512 / hbm);
    expect(cost.TopK(size, 1024).time.value(), n * 4096 / hbm);
    const double link = n * 16384 / 25e9;
    expect(cost.Load(LoadMethod::kFlashH2d, Bytes(16384), size).time.value(), link);
    expect(cost.Load(LoadMethod::kMemcpyPerBlock, Bytes(16384), size).time.value(), link);
    expect(cost.Save(SaveMethod::kFlashD2h, Bytes(16384), size).time.value(), link);
    expect(cost.Save(SaveMethod::kGpuDirect, Bytes(16384), size).time.value(), link);
    expect(cost.Save(SaveMethod::kMemcpyPerBlock, Bytes(16384), size).time.value(), link);
    // One socket has half of the DRAM bandwidth; a byte is read and written.
    expect(cost.Scatter(Bytes(size), Bytes(16384)).time.value(), n / (400e9 / 2 / 2));
  }
}

TEST(CostModelProperty, ChunkedPrefillNeverBeatsWholePrefill) {
  for (const llm::Architecture& model : Models()) {
    const CostModel cost = TestModel(model);
    for (const std::int64_t prompt : {100, 2048, 5000, 32768, 131072}) {
      const PrefillSpan whole{Tokens(0), Tokens(prompt)};
      const double whole_s = cost.PrefillAttention({&whole, 1}).time.value();
      for (const std::int64_t chunk : {64, 333, 2048, 8192}) {
        if (chunk >= prompt) continue;
        double total = 0;
        for (std::int64_t begin = 0; begin < prompt; begin += chunk) {
          const PrefillSpan span{Tokens(begin), Tokens(std::min(prompt, begin + chunk))};
          total += cost.PrefillAttention({&span, 1}).time.value();
        }
        EXPECT_GT(total, whole_s) << model.name << " " << prompt << " in " << chunk;
      }
    }
  }
}

TEST(CostModelProperty, NoWorkTakesNoTime) {
  const CostModel cost = TestModel(Mixture(), {.tensor_parallel = 8});
  EXPECT_EQ(cost.Projection(Tokens(0)).time, Seconds(0));
  EXPECT_EQ(cost.OutputAndMlp(5, Tokens(0)).time, Seconds(0));
  EXPECT_EQ(cost.Head(Tokens(0)).time, Seconds(0));
  EXPECT_EQ(cost.DecodeAttention(0, Tokens(0), true).time, Seconds(0));
  EXPECT_EQ(cost.Score(0, Bytes(512)).time, Seconds(0));
  EXPECT_EQ(cost.TopK(0, 1024).time, Seconds(0));
  EXPECT_EQ(cost.Load(LoadMethod::kFlashH2d, Bytes(16384), 0).time, Seconds(0));
  EXPECT_EQ(cost.Save(SaveMethod::kFlashD2h, Bytes(16384), 0).time, Seconds(0));
  EXPECT_EQ(cost.Scatter(Bytes(0), Bytes(16384)).time, Seconds(0));
}

}  // namespace
}  // namespace sparseserve::cost
