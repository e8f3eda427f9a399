#include "sim/live/host_bench.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "sim/core/quantiles.h"
#include "sim/live/live_run.h"
#include "sim/serving/system.h"

namespace sparseserve::live {
namespace {

using calibration::Measurement;

constexpr std::int64_t kDecodeSteps = 75;  // of all requests together, in a round
constexpr std::size_t kLeastQuickSamples = 2;
constexpr std::size_t kLeastSamples = 8;  // of a point
constexpr std::size_t kRarerThanMost = 50;
constexpr std::int64_t kBlocksPerChosen = 4;  // context over budget: selections change
// Layers last as long as the model's own, because how long the host has slept decides how long it
// takes to wake, up to sizes that would take minutes.
constexpr std::int64_t kMostHidden = 2048;

class Batch : public traces::RequestStream {
 public:
  Batch(std::int64_t count, Tokens prompt, Tokens output)
      : count_(count), prompt_(prompt), output_(output) {}
  std::optional<traces::Request> Next() override {
    if (next_ == count_) return std::nullopt;
    return traces::Request{next_++, SimTime(), prompt_, output_};
  }

 private:
  const std::int64_t count_;
  const Tokens prompt_, output_;
  std::int64_t next_ = 0;
};

llm::Architecture SmallModel(llm::Architecture model) {
  model.name = "host bench";
  model.num_layers = 2;
  model.hidden_size = std::min(model.hidden_size, kMostHidden);
  model.intermediate_size = std::min(model.intermediate_size, kMostHidden);
  model.vocab_size = std::min<std::int64_t>(model.vocab_size, 1024);
  model.max_context_tokens = 1 << 20;
  return model;
}

// Host work counts blocks, prefill counts tokens: small blocks keep the latter short.
std::int64_t BlockTokens(const kernels::Backend& backend) {
  return backend.name() == "cpu" ? 4 : 32;
}

// Everything fits into HBM, so that only what the selection changes is loaded; nothing is where HBM
// is the home of KV.
serving::SystemConfig SystemFor(const kernels::Backend& backend, const llm::Architecture& model,
                                serving::KvHome home, std::int64_t requests,
                                std::int64_t budget_blocks) {
  serving::SystemConfig config;
  config.choice = {.name = "host bench",
                   .attention = serving::Attention::kSparse,
                   .kv_home = home,
                   .prefill = home == serving::KvHome::kDram
                                  ? scheduler::PrefillMode::kLayerSegmented
                                  : scheduler::PrefillMode::kChunked};
  config.model = model;
  const std::int64_t block = BlockTokens(backend);
  const std::int64_t context = block * (budget_blocks * kBlocksPerChosen + kDecodeSteps);
  config.selection.block_tokens = Tokens(block);
  config.selection.budget_tokens = Tokens(block * budget_blocks);
  config.scheduling.max_requests = requests;
  config.scheduling.max_batch_tokens = Tokens(context);
  const auto kv = static_cast<std::int64_t>(
      static_cast<double>(context * (requests + 1) * 2 * model.num_layers * model.num_kv_heads *
                          model.head_dim) *
      model.bytes_per_kv_element);
  config.memory.kv_pool = Bytes(2 * kv);
  config.memory.dram = Bytes(2 * kv);
  config.memory.framework = Bytes(0);
  config.machine.gpu.hbm_capacity = Bytes(std::max(backend.Describe().memory.value(), 8 * kv));
  config.machine.host.dram_capacity = config.machine.gpu.hbm_capacity;
  config.host_overhead = Seconds(0);
  return config;
}

// What the engine did on the host while it served so many requests at once.
HostSamples Serve(kernels::Backend& backend, const llm::Architecture& model, serving::KvHome home,
                  std::int64_t requests, std::int64_t budget_blocks) {
  const serving::SystemConfig config = SystemFor(backend, model, home, requests, budget_blocks);
  const Tokens prompt = config.selection.block_tokens * (budget_blocks * kBlocksPerChosen);
  // Requests that begin early still decode when the last one begins.
  const Tokens output(kDecodeSteps + 3 * requests);
  Batch scanned(requests, prompt, output);
  const serving::WorkloadBounds bounds = serving::ScanWorkload(scanned);
  Batch batch(requests, prompt, output);
  metrics::Collector collector(nullptr);
  return RunLive(config, backend, {.real_time = false}, batch, bounds, {}, collector,
                 serving::RunOptions())
      .left.host;
}

// What a load of so many units takes where loads follow one another, as in its curve: the line
// through a load of one and a load of kMany, which walk through 64 MiB.
class LoadsInARow {
 public:
  LoadsInARow(kernels::Backend& backend, Bytes block) : backend_(backend), block_(block) {
    one_ = Time(1);
    each_ = (Time(kMany) - one_) / static_cast<double>(kMany - 1);
  }
  Seconds Time(const HostSample& load) const {
    return one_ + each_ * static_cast<double>(load.items - 1);
  }

 private:
  static constexpr std::int64_t kMany = 32;
  static constexpr std::int64_t kInARow = 32;
  static constexpr int kSamples = 15;
  static constexpr std::int64_t kMemory = std::int64_t{64} << 20;
  static constexpr std::int64_t kStride = 7919;  // a prime: the next place is never near

  Seconds Time(std::int64_t count) {
    const std::int64_t places = kMemory / block_.value();
    const kernels::Buffer table =
        backend_.AllocateHost(Bytes(kInARow * count * std::int64_t{sizeof(kernels::BlockMove)}));
    std::vector<float> times;
    for (int sample = 0; sample < kSamples; ++sample) {
      kernels::BlockMove* moves = table.As<kernels::BlockMove>();
      for (std::int64_t i = 0; i < kInARow * count; ++i) {
        const auto place = static_cast<std::int32_t>(next_++ * kStride % places);
        moves[i] = {place, static_cast<std::int32_t>(places) - 1 - place};
      }
      const kernels::EventPtr begin = backend_.Record(kernels::Lane::kH2d);
      for (std::int64_t call = 0; call < kInARow; ++call, moves += count) {
        backend_.Load(kernels::Lane::kH2d, kernels::LoadMethod::kGather,
                      {.dram = dram_.data(),
                       .hbm = hbm_.data(),
                       .block_bytes = block_.value(),
                       .moves = moves,
                       .num_moves = count});
      }
      const kernels::EventPtr end = backend_.Record(kernels::Lane::kH2d);
      end->Synchronize();
      times.push_back(static_cast<float>(backend_.Elapsed(begin, end).value() / kInARow));
    }
    return Seconds(Quantile(times, 0.5));
  }

  kernels::Backend& backend_;
  const Bytes block_;
  const kernels::Buffer dram_ = backend_.AllocateHost(Bytes(kMemory));
  const kernels::Buffer hbm_ = backend_.AllocateDevice(Bytes(kMemory));
  std::int64_t next_ = 0;
  Seconds one_, each_;
};

void Sort(const std::vector<HostSample>& samples, HostTimes& buckets) {
  for (const HostSample& sample : samples) buckets[sample.items].push_back(sample.time.value());
}

// Sizes that batches only pass while requests come and go are left out: such an iteration takes
// several times as long as a steady one. Every fourth point, but never the first or the last, only
// judges the curve.
void AddPoints(const char* operation, const HostTimes& buckets, std::size_t least,
               std::vector<Measurement>& points) {
  std::vector<Measurement> added;
  std::size_t most = 0;
  for (const auto& [items, times] : buckets) most = std::max(most, times.size());
  least = std::max(least, most / kRarerThanMost);
  for (const auto& [items, times] : buckets) {
    if (items <= 0 || times.size() < least) continue;
    std::vector<float> sorted(times.begin(), times.end());
    Measurement& point = added.emplace_back();
    point.operation = operation;
    point.work = calibration::Work::Fragments(items, Bytes(0));
    point.median = Seconds(TrimmedMean(times));
    point.lower_quartile = Seconds(Quantile(sorted, 0.25));
    point.upper_quartile = Seconds(Quantile(sorted, 0.75));
    point.num_samples = static_cast<std::int64_t>(times.size());
  }
  for (std::size_t i = 2; i + 1 < added.size(); i += 4) added[i].held_out = true;
  points.insert(points.end(), added.begin(), added.end());
}

}  // namespace

HostBench::HostBench(kernels::Backend& backend, const llm::Architecture& model, bool quick)
    : backend_(backend), model_(SmallModel(model)), quick_(quick) {}

void HostBench::Run(const std::function<void(double)>& progress) {
  const std::vector<std::int64_t> counts =
      quick_ ? std::vector<std::int64_t>{1, 3} : std::vector<std::int64_t>{1, 2, 3, 4, 6, 8};
  const std::vector<std::int64_t> budgets =
      quick_ ? std::vector<std::int64_t>{8} : std::vector<std::int64_t>{8, 24, 64};
  const auto parts = static_cast<double>(budgets.size() * counts.size());
  double done = 0;
  const LoadsInARow in_a_row(backend_,
                             Bytes(static_cast<std::int64_t>(
                                 static_cast<double>(BlockTokens(backend_) * 2 * model_.head_dim) *
                                 model_.bytes_per_kv_element)));
  for (const std::int64_t budget : budgets) {
    for (const std::int64_t requests : counts) {
      const HostSamples host = Serve(backend_, model_, serving::KvHome::kDram, requests, budget);
      Sort(host.iterations, iterations_);
      Sort(host.selects, selects_);
      Sort(host.attends, attends_);
      for (const HostSample& load : host.loads)
        late_loads_.push_back((load.time - in_a_row.Time(load)).value());
      resumes_.insert(resumes_.end(), host.resumes.begin(), host.resumes.end());
      saves_.insert(saves_.end(), host.saves.begin(), host.saves.end());
      Sort(Serve(backend_, model_, serving::KvHome::kHbm, requests, budget).attends,
           resident_attends_);
      if (progress) progress((done += 1) / parts);
    }
  }
}

std::vector<Measurement> HostBench::points() const {
  const std::size_t least = quick_ ? kLeastQuickSamples : kLeastSamples;
  std::vector<Measurement> points;
  AddPoints("host.iteration", iterations_, least, points);
  AddPoints("host.select", selects_, least, points);
  AddPoints("host.attend", attends_, least, points);
  AddPoints("host.attend_resident", resident_attends_, least, points);
  return points;
}

// Compute resumes later where the host is not done with the tables by then, which is its own curve:
// of that, the median.
std::map<std::string, calibration::MeasuredValue> HostBench::values() const {
  std::map<std::string, calibration::MeasuredValue> values;
  if (!late_loads_.empty()) {
    std::vector<float> resumes(resumes_.begin(), resumes_.end());
    values["latencies.handover"] = {
        std::max(TrimmedMean(late_loads_), 0.0) + Quantile(resumes, 0.5),
        "loads of layers of decodes, beyond what as many blocks take in a row, until compute goes "
        "on; mean of " +
            std::to_string(late_loads_.size()) + " without the slowest twentieth"};
  }
  if (!saves_.empty()) {
    values["latencies.save_handover"] = {
        TrimmedMean(saves_), "layers that wake the lane that saves, beside the loads; mean of " +
                                 std::to_string(saves_.size()) + " without the slowest twentieth"};
  }
  return values;
}

}  // namespace sparseserve::live
