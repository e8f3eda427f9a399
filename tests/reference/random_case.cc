#include "tests/reference/random_case.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::reference {
namespace {

using serving::Attention;
using serving::KvHome;

enum Choice : std::size_t {
  kSystem,
  kLayers,
  kKvHeads,
  kBlockTokens,
  kBudgetBlocks,
  kPerLayer,
  kDenseLayers,
  kReuse,
  kOverlap,
  kMetadata,
  kFullAttention,
  kLoad,
  kSave,
  kControl,
  kMaxRequests,
  kMaxBatchTokens,
  kInject,
  kWindow,
  kD2h,
  kH2d,
  kDuplex,
  kLoadSlowdown,
  kColdRead,
  kSaveSlowdown,
  kHostUs,
  kReplicas,
  kRouter,
  kTensorParallel,
  kPoolRows,
  kDramRows,
  kSeed,
  kNumChoices
};

struct List {
  const char* name;
  std::vector<double> values;
};

// 0 in load, save, control: as the system has it.
const List kLists[kNumChoices] = {{"system", {0, 1, 2, 3, 4, 5}},
                                  {"layers", {1, 2, 3, 4}},
                                  {"kv_heads", {1, 2}},
                                  {"block_tokens", {16, 8, 32}},
                                  {"budget_blocks", {4, 5, 8}},
                                  {"one_choice_per_layer", {0, 1}},
                                  {"dense_layers", {0, 1, 2}},
                                  {"reuse_interval", {1, 2, 3}},
                                  {"overlap", {0.8, 0.6}},
                                  {"metadata_vectors", {2, 0, 8}},
                                  {"full_attention", {0, 0, 0, 1}},
                                  {"load", {0, 1, 2}},
                                  {"save", {0, 1, 2, 3}},
                                  {"control", {0, 1, 2}},
                                  {"max_requests", {16, 1, 2, 3, 5}},
                                  {"max_batch_tokens", {512, 200, 100, 48, 17}},
                                  {"inject_token_layers", {0, 0, 30, 130, 400}},
                                  {"window", {12, 1, 3}},
                                  {"d2h_bytes_per_s", {52e9, 1e9, 1e8, 1e7}},
                                  {"h2d_bytes_per_s", {52e9, 1e9, 1e8}},
                                  {"duplex_bytes_per_s", {0, 6e10, 1.2e9, 1.1e8}},
                                  {"load_slowdown", {1, 1.5}},
                                  {"cold_read", {1, 1.25}},
                                  {"save_slowdown", {1, 1.5}},
                                  {"host_us", {4000, 100, 0}},
                                  {"replicas", {1, 1, 2, 3}},
                                  {"least_loaded", {0, 1}},
                                  {"tensor_parallel", {1, 2}},
                                  {"pool_rows", {60, 12, 6, 3, 2, 1, 0}},
                                  {"dram_rows", {200, 20, 4, 0}},
                                  {"seed", {1, 2, 3, 4, 5, 6, 7, 8}}};

double Value(const Case& c, Choice choice) { return kLists[choice].values[c.choices[choice]]; }
std::int64_t Int(const Case& c, Choice choice) {
  return static_cast<std::int64_t>(Value(c, choice));
}

void SetModel(const Case& c, llm::Architecture& model) {
  model.num_layers = Int(c, kLayers);
  model.num_kv_heads = Int(c, kKvHeads);
  model.num_q_heads = 8;
  model.head_dim = 64;
  model.hidden_size = 512;
}

void SetPolicies(const Case& c, SystemConfig& config) {
  selection::SelectionPolicy& s = config.selection;
  s.block_tokens = Tokens(Int(c, kBlockTokens));
  s.budget_tokens = s.block_tokens * Int(c, kBudgetBlocks);
  s.sink_blocks = s.recent_blocks = 1;
  s.granularity =
      Int(c, kPerLayer) == 1 ? selection::Granularity::kLayer : selection::Granularity::kKvHead;
  s.dense_layers = Int(c, kDenseLayers);
  s.reuse_interval = Int(c, kReuse);
  s.metadata_vectors = Int(c, kMetadata);
  const double overlap = Value(c, kOverlap);
  config.locality.overlap = {{1, overlap}, {12, overlap + 0.1}, {16, overlap + 0.11}};
  config.seed = static_cast<std::uint64_t>(Int(c, kSeed));
  if (config.choice.kv_home == KvHome::kDram) {
    if (Int(c, kFullAttention) == 1) config.choice.attention = Attention::kFull;
    if (Int(c, kControl) > 0) config.choice.working_set_control = Int(c, kControl) == 2;
    if (Int(c, kLoad) > 0) config.choice.load = static_cast<cost::LoadMethod>(Int(c, kLoad) - 1);
    if (Int(c, kSave) > 0) config.choice.save = static_cast<cost::SaveMethod>(Int(c, kSave) - 1);
  }
  config.scheduling.max_requests = Int(c, kMaxRequests);
  config.scheduling.max_batch_tokens = Tokens(Int(c, kMaxBatchTokens));
  config.scheduling.max_inject_token_layers = Int(c, kInject);
  config.memory.working_set_window = Int(c, kWindow);
  config.host_overhead = Seconds(Value(c, kHostUs) * 1e-6);
  config.replicas = Int(c, kReplicas);
  config.router = Int(c, kRouter) == 1 ? "least-loaded" : "round-robin";
  config.tensor_parallel = Int(c, kTensorParallel);
}

void SetMachine(const Case& c, SystemConfig& config) {
  config.machine.link.d2h_bandwidth = BytesPerSecond(Value(c, kD2h));
  config.machine.link.h2d_bandwidth = BytesPerSecond(Value(c, kH2d));
  config.machine.link.duplex_bandwidth = BytesPerSecond(Value(c, kDuplex));
  for (auto& [name, slowdown] : config.calibration.slowdowns) {
    slowdown.value = Value(c, name.starts_with("h2d") ? kLoadSlowdown : kSaveSlowdown);
  }
  for (const char* name : {"cold.h2d.memcpy", "cold.h2d.flash"}) {
    config.calibration.slowdowns[name] = {Value(c, kColdRead),
                                          {calibration::Kind::kAssumed, "for tests"}};
  }
}

bool IsFeasible(const SystemConfig& config, const serving::WorkloadBounds& bounds) {
  try {
    serving::CheckFeasible(config, bounds);
  } catch (const InputError&) {
    return false;
  }
  return true;
}

}  // namespace

Case RandomCase(std::uint64_t seed) {
  RandomStream random(seed, "reference");
  Case c;
  for (const List& list : kLists) {
    const auto last = static_cast<std::int64_t>(list.values.size()) - 1;
    c.choices.push_back(static_cast<std::size_t>(random.UniformInt(0, last)));
  }
  const std::int64_t longest = random.UniformInt(0, 3) == 0 ? 300 : 120;
  const std::int64_t most = random.UniformInt(0, 3) == 0 ? 60 : 20;
  const std::int64_t gap_us = random.UniformInt(0, 2) * 8000;
  SimTime at;
  const std::int64_t count = random.UniformInt(1, 10);
  for (std::int64_t i = 0; i < count; ++i) {
    if (random.UniformInt(0, 3) > 0) at = at + Seconds(1e-6) * random.UniformInt(0, gap_us);
    c.requests.push_back(
        {i, at, Tokens(random.UniformInt(1, longest)), Tokens(random.UniformInt(1, most))});
  }
  return c;
}

SystemConfig ConfigOf(const Case& c) {
  static const std::vector<std::string> systems = {"vllm",       "vllm-s",        "vllm-so",
                                                   "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"};
  SystemConfig config = serving::Shipped(systems[c.choices[kSystem]]);
  SetModel(c, config.model);
  SetPolicies(c, config);
  SetMachine(c, config);
  const scheduler::KvGeometry geometry = serving::ComputeGeometry(config);
  const Bytes row = geometry.block_row_bytes();
  serving::FixedStream scan(c.requests);
  const serving::WorkloadBounds bounds = serving::ScanWorkload(scan);
  const std::int64_t blocks = BlocksFor(bounds.longest_prompt, geometry.block_tokens).value();
  config.memory.dram = row * (config.tensor_parallel * (blocks + 1 + Int(c, kDramRows)));
  config.memory.kv_pool = geometry.unit_bytes;
  while (!IsFeasible(config, bounds))
    config.memory.kv_pool += geometry.unit_bytes * std::max<std::int64_t>(1, geometry.heads);
  config.memory.kv_pool += row * Int(c, kPoolRows);
  return config;
}

std::string Describe(const Case& c) {
  std::string text;
  for (std::size_t i = 0; i < kNumChoices; ++i) {
    if (c.choices[i] == 0) continue;
    text +=
        std::string(kLists[i].name) + '=' + std::to_string(kLists[i].values[c.choices[i]]) + ' ';
  }
  for (const traces::Request& r : c.requests) {
    text += "\n  request " + std::to_string(r.id) + " at " + std::to_string(r.arrival.ns()) +
            " ns, prompt " + std::to_string(r.prompt.value()) + ", output " +
            std::to_string(r.output.value());
  }
  return text;
}

namespace {

void Number(std::vector<traces::Request>& requests) {
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].id = static_cast<std::int64_t>(i);
}

std::vector<Case> Smaller(const Case& c) {
  std::vector<Case> smaller;
  for (std::size_t i = 0; c.requests.size() > 1 && i < c.requests.size(); ++i) {
    smaller.push_back(c);
    smaller.back().requests.erase(smaller.back().requests.begin() + static_cast<std::ptrdiff_t>(i));
    Number(smaller.back().requests);
  }
  for (std::size_t i = 0; i < c.choices.size(); ++i) {
    for (std::size_t plainer = 0; plainer < c.choices[i]; ++plainer) {
      smaller.push_back(c);
      smaller.back().choices[i] = plainer;
    }
  }
  for (std::size_t i = 0; i < c.requests.size(); ++i) {
    for (const std::int64_t step : {2, 1}) {
      const auto less = [&](Tokens t) {
        return Tokens(step == 2 ? (t.value() + 1) / 2 : std::max<std::int64_t>(1, t.value() - 1));
      };
      smaller.push_back(c);
      smaller.back().requests[i].prompt = less(c.requests[i].prompt);
      smaller.push_back(c);
      smaller.back().requests[i].output = less(c.requests[i].output);
    }
    smaller.push_back(c);
    smaller.back().requests[i].arrival = i == 0 ? SimTime() : c.requests[i - 1].arrival;
  }
  std::erase_if(smaller, [&](const Case& other) {
    if (other.choices != c.choices || other.requests.size() != c.requests.size()) return false;
    for (std::size_t i = 0; i < c.requests.size(); ++i) {
      const traces::Request &a = c.requests[i], &b = other.requests[i];
      if (a.arrival != b.arrival || a.prompt != b.prompt || a.output != b.output) return false;
    }
    return true;
  });
  return smaller;
}

}  // namespace

Case Shrink(Case failing, const std::function<bool(const Case&)>& fails) {
  for (bool progress = true; progress;) {
    progress = false;
    for (const Case& smaller : Smaller(failing)) {
      if (!fails(smaller)) continue;
      failing = smaller;
      progress = true;
      break;
    }
  }
  return failing;
}

namespace {

class Sink : public metrics::IterationSink {
 public:
  explicit Sink(std::vector<IterationLog>& log) : log_(log) {}
  void OnIteration(const metrics::IterationRecord& r) override {
    IterationLog i;
    i.replica = r.replica;
    i.begin = r.begin.ns();
    i.end = r.end.ns();
    i.decodes = r.num_decodes;
    i.prefills = r.num_prefills;
    i.token_layers = r.prefill_token_layers;
    i.running = r.num_running;
    i.waiting = r.num_waiting;
    i.loads = r.block_loads;
    i.touches = r.block_touches;
    i.h2d_bytes = r.h2d_bytes.value();
    i.d2h_bytes = r.d2h_bytes.value();
    i.hbm_used = r.hbm_used.value();
    i.dram_used = r.dram_used.value();
    i.compute = r.compute.value();
    i.attention = r.attention.value();
    i.load_stall = r.load_stall.value();
    i.save_stall = r.save_stall.value();
    i.h2d_busy = r.h2d_busy.value();
    i.d2h_busy = r.d2h_busy.value();
    i.scatter_busy = r.scatter_busy.value();
    log_.push_back(i);
  }

 private:
  std::vector<IterationLog>& log_;
};

}  // namespace

Log RunEngine(const SystemConfig& config, const std::vector<traces::Request>& requests) {
  Log log;
  Sink sink(log.iterations);
  metrics::Collector collector(&sink);
  serving::FixedStream stream(requests);
  const serving::RunResult result =
      serving::RunSimulation(config, stream, {}, collector, serving::RunOptions{});
  log.evictions = result.summary.kv.evictions;
  for (const metrics::RequestRecord& r : collector.requests()) {
    RequestLog& l = log.requests.emplace_back();
    l.id = r.id;
    l.replica = r.replica;
    l.arrival = r.arrival.ns();
    l.scheduled = r.was_scheduled ? r.scheduled.ns() : -1;
    l.finish = r.finish.ns();
    l.preemptions = r.preemptions;
    l.failed = r.failed;
    l.num_tokens = r.produced.value();
    if (l.num_tokens > 0) {
      l.first_token = r.first_token.ns();
      l.last_token = r.last_token.ns();
    }
  }
  for (const RunLengthSample::Run& run : collector.token_gaps_ms().runs())
    log.token_gaps_ms.insert(log.token_gaps_ms.end(), run.count, run.value);
  std::sort(log.token_gaps_ms.begin(), log.token_gaps_ms.end());
  std::stable_sort(log.iterations.begin(), log.iterations.end(), [](const auto& a, const auto& b) {
    return std::pair(a.end, a.replica) < std::pair(b.end, b.replica);
  });
  return log;
}

namespace {

using Figures = std::vector<std::pair<const char*, std::int64_t>>;

Figures FiguresOf(const RequestLog& r) {
  return {
      {"replica", r.replica},         {"arrival", r.arrival},         {"scheduled", r.scheduled},
      {"first token", r.first_token}, {"tokens", r.num_tokens},       {"last token", r.last_token},
      {"finish", r.finish},           {"preemptions", r.preemptions}, {"failed", r.failed ? 1 : 0}};
}

// Durations are sums of doubles, whose last bits depend on the order of adding.
std::int64_t Nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9 + 0.5); }

Figures FiguresOf(const IterationLog& i) {
  return {{"replica", i.replica},
          {"begin", i.begin},
          {"decodes", i.decodes},
          {"prefills", i.prefills},
          {"token layers", i.token_layers},
          {"running", i.running},
          {"waiting", i.waiting},
          {"touches", i.touches},
          {"loads", i.loads},
          {"H2D bytes", i.h2d_bytes},
          {"D2H bytes", i.d2h_bytes},
          {"compute ns", Nanoseconds(i.compute)},
          {"attention ns", Nanoseconds(i.attention)},
          {"load stall ns", Nanoseconds(i.load_stall)},
          {"save stall ns", Nanoseconds(i.save_stall)},
          {"H2D busy ns", Nanoseconds(i.h2d_busy)},
          {"D2H busy ns", Nanoseconds(i.d2h_busy)},
          {"scatter busy ns", Nanoseconds(i.scatter_busy)},
          {"end", i.end},
          {"HBM used", i.hbm_used},
          {"DRAM used", i.dram_used}};
}

template <typename Record>
std::string FirstDifference(const char* what, const std::vector<Record>& expected,
                            const std::vector<Record>& found) {
  for (std::size_t i = 0; i < std::min(expected.size(), found.size()); ++i) {
    const Figures a = FiguresOf(expected[i]), b = FiguresOf(found[i]);
    for (std::size_t k = 0; k < a.size(); ++k) {
      if (a[k].second == b[k].second) continue;
      return std::string(what) + ' ' + std::to_string(i) + ": " + a[k].first + ": reference " +
             std::to_string(a[k].second) + ", engine " + std::to_string(b[k].second);
    }
  }
  if (expected.size() == found.size()) return "";
  return std::string("number of ") + what + "s: reference " + std::to_string(expected.size()) +
         ", engine " + std::to_string(found.size());
}

}  // namespace

std::string Compare(const Log& expected, const Log& found) {
  std::string difference = FirstDifference("iteration", expected.iterations, found.iterations);
  if (difference.empty())
    difference = FirstDifference("request", expected.requests, found.requests);
  if (difference.empty() && expected.evictions != found.evictions) {
    difference = "evictions: reference " + std::to_string(expected.evictions) + ", engine " +
                 std::to_string(found.evictions);
  }
  if (difference.empty() && expected.token_gaps_ms != found.token_gaps_ms)
    difference = "the gaps between tokens differ";
  return difference;
}

}  // namespace sparseserve::reference
