#include "sim/plan/what_if.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <span>
#include <thread>

#include "sim/core/check.h"
#include "sim/core/error.h"
#include "sim/kvcache/eviction_policy.h"

namespace sparseserve::plan {
namespace {

using serving::SystemConfig;

constexpr double kStep = 0.25;  // the larger one
constexpr double kGigabyte = 1e9;

std::string Rounded(double value) {
  const std::string text = std::to_string(std::round(value * 10) / 10);
  return text.substr(0, text.find('.') + 2);
}

// Grows HBM so that KV gets that much more, whether its pool is set or is what is left.
void AddKv(SystemConfig& config, double bytes) {
  const auto hbm = static_cast<std::int64_t>(std::ceil(bytes / config.memory.hbm_utilization));
  config.machine.gpu.hbm_capacity += Bytes(hbm);
  if (config.memory.kv_pool > Bytes(0))
    config.memory.kv_pool += Bytes(static_cast<std::int64_t>(bytes));
}

void AddMemory(const SystemConfig& base, std::vector<Change>& changes) {
  const double kv = static_cast<double>(ComputeHbmBudget(base).kv.value());
  changes.push_back({"+1 GB of HBM for KV", [](SystemConfig& c) { AddKv(c, kGigabyte); }});
  changes.push_back({"+25 % of HBM for KV (+" + Rounded(kv * kStep / kGigabyte) + " GB)",
                     [kv](SystemConfig& c) { AddKv(c, kv * kStep); }});
}

void AddLink(const SystemConfig& base, std::vector<Change>& changes) {
  const double rate = base.machine.link.h2d_bandwidth.value() * base.link_scale;
  const auto scaled = [](double by) { return [by](SystemConfig& c) { c.link_scale *= by; }; };
  changes.push_back({"+1 GB/s of host link", scaled((rate + kGigabyte) / rate)});
  changes.push_back(
      {"+25 % of host link (+" + Rounded(rate * kStep / kGigabyte) + " GB/s)", scaled(1 + kStep)});
}

void AddWindow(const SystemConfig& base, std::vector<Change>& changes) {
  const std::int64_t w = base.memory.working_set_window;
  const auto larger = static_cast<std::int64_t>(std::ceil(static_cast<double>(w) * (1 + kStep)));
  for (const std::int64_t window : {w + 1, std::max(larger, w + 2)}) {
    changes.push_back({"w = " + std::to_string(window),
                       [window](SystemConfig& c) { c.memory.working_set_window = window; }});
  }
}

void AddHost(const SystemConfig& base, std::vector<Change>& changes) {
  const double host = base.host_overhead.value();
  const double less = std::min(host, 1e-3);
  const auto set = [](double value) {
    return [value](SystemConfig& c) { c.host_overhead = Seconds(value); };
  };
  changes.push_back({"-" + Rounded(less * 1e3) + " ms of host overhead", set(host - less)});
  if (std::abs(host * kStep - less) < 1e-9) return;  // the same
  changes.push_back({"-25 % of host overhead (-" + Rounded(host * kStep * 1e3) + " ms)",
                     set(host * (1 - kStep))});
}

void AddPolicies(const SystemConfig& base, std::vector<Change>& changes) {
  for (const std::string& policy : kvcache::EvictionPolicyNames()) {
    if (policy == base.memory.eviction) continue;
    changes.push_back(
        {"eviction " + policy, [policy](SystemConfig& c) { c.memory.eviction = policy; }});
  }
}

void AddSettings(const SystemConfig& base, std::vector<Change>& changes) {
  const std::int64_t tokens = base.scheduling.max_batch_tokens.value();
  for (const std::int64_t value : {tokens / 2, tokens * 2}) {
    if (value < 1) continue;
    changes.push_back({"T_max = " + std::to_string(value), [value](SystemConfig& c) {
                         c.scheduling.max_batch_tokens = Tokens(value);
                       }});
  }
  const std::int64_t requests = base.scheduling.max_requests;
  for (const std::int64_t value : {requests / 2, requests * 2}) {
    if (value < 1) continue;
    changes.push_back({"R_max = " + std::to_string(value),
                       [value](SystemConfig& c) { c.scheduling.max_requests = value; }});
  }
}

std::array<std::optional<double>, kNumFigures> FiguresOf(const metrics::Summary& s) {
  const auto if_any = [](bool any, double value) {
    return any ? std::optional<double>(value) : std::nullopt;
  };
  const bool completed = s.completed > 0;
  const bool gaps = s.breakdown.itl.samples > 0;
  return {if_any(completed, s.ttft_ms.mean),
          if_any(completed, s.ttft_ms.p99),
          if_any(gaps, s.itl_ms.mean),
          if_any(gaps, s.itl_ms.p99),
          s.output_throughput,
          s.request_goodput};
}

struct Job {
  std::array<std::optional<double>, kNumFigures> figures;
  bool saturated = false;
  std::string failure;
  std::exception_ptr error;
};

void RunJob(const serving::SystemConfig& system, std::size_t seed, const RunFunction& run,
            bool is_base, Job& job) {
  try {
    const metrics::Summary summary = run(system, seed);
    job.figures = FiguresOf(summary);
    job.saturated = summary.saturated;
  } catch (const InputError& error) {
    job.failure = error.what();
    if (is_base) job.error = std::current_exception();
  } catch (...) {
    job.error = std::current_exception();
  }
}

// The values of a figure over the seeds; nothing unless all have one.
std::optional<std::vector<double>> Values(const std::vector<Job>& jobs, std::size_t first,
                                          std::size_t num_seeds, std::size_t figure) {
  std::vector<double> values;
  for (std::size_t seed = 0; seed < num_seeds; ++seed) {
    const std::optional<double>& value = jobs[first + seed].figures[figure];
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

}  // namespace

std::vector<Change> WhatIfs(const serving::SystemConfig& base, Extent extent,
                            std::vector<std::string>& left_out) {
  std::vector<Change> changes;
  if (extent == Extent::kNone) return changes;
  const bool offloads = base.choice.kv_home == serving::KvHome::kDram;
  AddMemory(base, changes);
  if (offloads) {
    AddLink(base, changes);
  } else {
    left_out.emplace_back("host link: all KV lives in HBM, nothing crosses it");
  }
  if (base.choice.working_set_control) {
    AddWindow(base, changes);
  } else {
    left_out.emplace_back("w: the system has no working-set control");
  }
  if (base.host_overhead > Seconds(0)) AddHost(base, changes);
  if (extent == Extent::kQuick) return changes;
  if (offloads) {
    AddPolicies(base, changes);
  } else {
    left_out.emplace_back("eviction: all KV lives in HBM, no block is evicted");
  }
  AddSettings(base, changes);
  return changes;
}

WhatIfResult RunWhatIfs(const std::vector<serving::SystemConfig>& bases,
                        const std::vector<Change>& changes, const RunFunction& run,
                        std::int64_t num_threads) {
  SPARSESERVE_CHECK(!bases.empty(), "a comparison without a base");
  const std::size_t num_seeds = bases.size();
  std::vector<Job> jobs((changes.size() + 1) * num_seeds);  // the base first, seed by seed
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < jobs.size(); i = next++) {
      const bool is_base = i < num_seeds;
      serving::SystemConfig system = bases[i % num_seeds];
      if (!is_base) changes[i / num_seeds - 1].apply(system);
      RunJob(system, i % num_seeds, run, is_base, jobs[i]);
    }
  };
  {
    std::vector<std::jthread> workers;
    const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(1, num_threads));
    for (std::size_t i = 1; i < std::min(wanted, jobs.size()); ++i) workers.emplace_back(work);
    work();
  }
  for (const Job& job : jobs) {
    if (job.error) std::rethrow_exception(job.error);
  }
  WhatIfResult result;
  for (std::size_t f = 0; f < kNumFigures; ++f) {
    if (const auto values = Values(jobs, 0, num_seeds, f)) result.base[f] = MeanInterval(*values);
  }
  for (std::size_t seed = 0; seed < num_seeds; ++seed) {
    result.base_saturated |= jobs[seed].saturated;
    result.seeds_differ |= jobs[seed].figures != jobs[0].figures;
  }
  for (std::size_t c = 0; c < changes.size(); ++c) {
    const std::size_t first = (c + 1) * num_seeds;
    WhatIfEffect& effect = result.effects.emplace_back();
    effect.name = changes[c].name;
    for (std::size_t seed = 0; seed < num_seeds; ++seed) {
      effect.saturated |= jobs[first + seed].saturated;
      if (effect.failure.empty()) effect.failure = jobs[first + seed].failure;
    }
    if (!effect.failure.empty()) continue;
    for (std::size_t f = 0; f < kNumFigures; ++f) {
      const auto base = Values(jobs, 0, num_seeds, f);
      const auto other = Values(jobs, first, num_seeds, f);
      if (!base || !other) continue;
      // Equal runs are one sample.
      const std::size_t samples = result.seeds_differ ? num_seeds : 1;
      effect.changes[f] =
          PairedDifference(std::span(*base).first(samples), std::span(*other).first(samples));
    }
  }
  return result;
}

}  // namespace sparseserve::plan
