#include "kernels/bench/device_values.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/bench/operations.h"
#include "kernels/bench/statistics.h"
#include "kernels/stream_copy.h"
#include "kernels/thread_pool.h"

namespace sparseserve::bench {
namespace {

using calibration::MeasuredValue;
using kernels::EventPtr;
using kernels::Lane;
using kernels::LoadMethod;
using kernels::SaveMethod;

constexpr std::int64_t kLargeCopy = std::int64_t{512} << 20;
constexpr std::int64_t kLaunches = 200;
constexpr int kCallsPerPass = 3;

double Real(std::int64_t value) { return static_cast<double>(value); }

// The median of what `sample` returns, for as long as `budget` lasts: 3 to 15 times.
Seconds MedianOf(Seconds budget, const std::function<Seconds()>& sample) {
  const Seconds deadline = Now() + budget;
  sample();
  std::vector<double> times;
  while (times.size() < 3 || (times.size() < 15 && Now() < deadline)) {
    times.push_back(sample().value());
  }
  return Seconds(Summarize(std::move(times)).median);
}

std::string Percent(double ratio) { return std::to_string(std::lround((ratio - 1) * 100)) + " %"; }

// Both directions of the link, alone and together.
class LinkCopies {
 public:
  explicit LinkCopies(Workbench& workbench)
      : workbench_(workbench),
        size_(std::min({kLargeCopy, workbench.cache_bytes(), workbench.input_bytes(),
                        workbench.host_input_bytes(), workbench.host_output_bytes()})) {}

  Bytes size() const { return Bytes(size_); }
  Seconds Time(bool load, bool save) const {
    kernels::Backend& backend = workbench_.backend();
    backend.Synchronize();
    const Seconds begin = Now();
    if (load) {
      backend.Copy(Lane::kH2d, workbench_.Cache(0, size_), workbench_.HostInput(0, size_), size());
    }
    if (save) {
      backend.Copy(Lane::kD2h, workbench_.HostOutput(0, size_), workbench_.Input(0, size_), size());
    }
    backend.Synchronize();
    return Now() - begin;
  }

 private:
  Workbench& workbench_;
  const std::int64_t size_;
};

Seconds TimeDramCopy(Workbench& workbench, kernels::ThreadPool& pool, std::int64_t size) {
  const std::byte* source = workbench.HostInput(0, size);
  std::byte* destination = workbench.HostOutput(0, size);
  constexpr std::int64_t kUnit = 4096;
  const Seconds begin = Now();
  pool.ParallelFor(size / kUnit, [&](std::int64_t first, std::int64_t last) {
    kernels::StreamCopy(destination + first * kUnit, source + first * kUnit,
                        (last - first) * kUnit);
    kernels::FenceStreamCopies();
  });
  return Now() - begin;
}

Seconds TimeDeviceCopy(Workbench& workbench, std::int64_t size) {
  kernels::Backend& backend = workbench.backend();
  const EventPtr begin = backend.Record(Lane::kCompute);
  backend.Copy(Lane::kCompute, workbench.Output(0, size), workbench.Input(0, size), Bytes(size));
  const EventPtr end = backend.Record(Lane::kCompute);
  end->Synchronize();
  return backend.Elapsed(begin, end);
}

// An operation on one row of the smallest width, many times in a row.
Seconds TimeLaunch(Workbench& workbench) {
  kernels::Backend& backend = workbench.backend();
  kernels::NormParams norm;
  norm.type = workbench.model().layout.type;
  norm.num_rows = 1;
  norm.width = 64;
  norm.x = workbench.Input(0, norm.width * 4);
  norm.weight = norm.x;
  norm.y = workbench.Output(0, norm.width * 4);
  // Keeps the device busy while the launches are queued.
  const std::int64_t size =
      std::min({8 * kLargeCopy, workbench.input_bytes(), workbench.output_bytes()});
  backend.Copy(Lane::kCompute, workbench.Output(0, size), workbench.Input(0, size), Bytes(size));
  const EventPtr begin = backend.Record(Lane::kCompute);
  for (std::int64_t i = 0; i < kLaunches; ++i) backend.Norm(norm);
  const EventPtr end = backend.Record(Lane::kCompute);
  end->Synchronize();
  return backend.Elapsed(begin, end) / Real(kLaunches);
}

// The first call of a doubling size that takes at least a millisecond, or the largest.
Call LongEnough(Timer& timer, std::int64_t least, std::int64_t most,
                const std::function<Call(std::int64_t)>& make) {
  constexpr double kLongEnough = 1e-3;
  for (std::int64_t size = least;; size *= 2) {
    Call call = make(std::min(size, most));
    timer.Sample(call, 1);
    if (size >= most || timer.Sample(call, 1).value() >= kLongEnough) return call;
  }
}

// What the machine holds, beside what it reaches.
void AddSizes(const Workbench& workbench, const std::function<bool(const std::string&)>& wanted,
              Values& values) {
  const kernels::DeviceInfo& device = workbench.device();
  const auto add = [&](const char* name, double value, const char* how) {
    if (wanted(name) && value > 0) values[name] = {value, how};
  };
  add("ceilings.memory", Real(device.memory.value()), "as the device describes itself");
  add("ceilings.workers", Real(device.num_workers), "as the device describes itself");
  add("ceilings.host_cores", Real(std::thread::hardware_concurrency()),
      "as the operating system counts them");
  if (!workbench.is_host()) {
    add("ceilings.host_memory", Real(sysconf(_SC_PHYS_PAGES)) * Real(sysconf(_SC_PAGESIZE)),
        "as the operating system counts it");
  }
}

// Runs compute and transfers beside each other and adds the time of each call to the lists. Calls
// of compute are timed one by one, so that gaps in which the one host thread is busy submitting
// copies do not count as compute. After each call as many transfers follow as last a little longer
// than it, so that their lane never runs dry.
void OverlapCalls(kernels::Backend& backend, const Call& compute, const Call& transfer,
                  std::int64_t chunks, std::vector<double>& compute_times,
                  std::vector<double>& transfer_times) {
  using Span = std::pair<EventPtr, EventPtr>;
  std::vector<Span> computes;
  std::vector<Span> transfers;
  std::int64_t variant = 1;
  const auto move = [&] {
    const EventPtr begin = backend.Record(*transfer.lane);
    for (std::int64_t i = 0; i < chunks; ++i) transfer.enqueue(variant++);
    transfers.emplace_back(begin, backend.Record(*transfer.lane));
  };
  move();
  for (int i = 0; i < kCallsPerPass; ++i) {
    const EventPtr begin = backend.Record(*compute.lane);
    compute.enqueue(variant++);
    computes.emplace_back(begin, backend.Record(*compute.lane));
    move();
  }
  backend.Synchronize();
  // Once the last call of compute is done, transfers run alone.
  transfers.pop_back();
  for (const auto& [begin, end] : computes) {
    compute_times.push_back(backend.Elapsed(begin, end).value());
  }
  for (const auto& [begin, end] : transfers) {
    transfer_times.push_back(backend.Elapsed(begin, end).value() / Real(chunks));
  }
}

struct Transfer {
  std::string name;
  Call call;
};

std::vector<Transfer> MakeTransfers(Workbench& workbench) {
  const kernels::Backend& backend = workbench.backend();
  const std::int64_t block = workbench.model().layout.BlockBytes().value();
  const std::int64_t vector = workbench.model().layout.head_dim * workbench.model().element_bytes();
  std::vector<Transfer> transfers;
  const auto add_load = [&](const char* name, LoadMethod method, std::int64_t count) {
    if (backend.Supports(method)) {
      transfers.push_back({name, MakeLoad(workbench, method, count, block)});
    }
  };
  const auto add_save = [&](const char* name, SaveMethod method, std::int64_t count,
                            std::int64_t size) {
    if (!backend.Supports(method)) return;
    transfers.push_back({name, method == SaveMethod::kStaged
                                   ? MakeStagingCopy(workbench, count, size)
                                   : MakeSave(workbench, method, count, size)});
  };
  // What a step of a decode batch moves: about a thousand blocks, or the vectors of some tokens.
  add_load("h2d.memcpy", LoadMethod::kCopyPerBlock, 256);
  add_load("h2d.batch", LoadMethod::kBatchCopy, 1024);
  add_load("h2d.flash", LoadMethod::kGather, 1024);
  add_load("h2d.bulk", LoadMethod::kBulkGather, 1024);
  add_save("d2h.memcpy", SaveMethod::kCopyPerBlock, 256, block);
  add_save("d2h.direct", SaveMethod::kDirect, 16384, vector);
  add_save("d2h.flash", SaveMethod::kStaged, 16384, vector);
  return transfers;
}

}  // namespace

Values MeasureCeilings(Workbench& workbench, Timer& timer, Seconds budget,
                       const std::function<bool(const std::string&)>& wanted) {
  constexpr double kNumMeasured = 7;
  const Seconds each = budget / kNumMeasured;
  Values values;
  const LinkCopies link(workbench);
  const std::string size = ToString(link.size());
  const auto add_link = [&](const std::string& name, bool load, bool save, std::string how) {
    if (!wanted(name)) return;
    const Seconds time = MedianOf(each, [&] { return link.Time(load, save); });
    const double bytes = Real(link.size().value()) * (load && save ? 2 : 1);
    values[name] = {bytes / time.value(), std::move(how)};
  };
  add_link("ceilings.h2d", true, false, "one copy of " + size + ", host clock");
  add_link("ceilings.d2h", false, true, "one copy of " + size + ", host clock");
  add_link("ceilings.duplex", true, true,
           "one copy of " + size + " each way at once, bytes of both over the time of the longer");

  const int threads = workbench.ring_options().scatter_threads;
  if (wanted("ceilings.dram_copy")) {
    kernels::ThreadPool pool(threads);
    const Seconds time =
        MedianOf(each, [&] { return TimeDramCopy(workbench, pool, link.size().value()); });
    values["ceilings.dram_copy"] = {2 * Real(link.size().value()) / time.value(),
                                    "bytes read plus bytes written, a copy of " + size + " with " +
                                        std::to_string(threads) + " threads"};
  }
  if (wanted("ceilings.hbm_read")) {
    const std::int64_t bytes = std::min(workbench.input_bytes(), workbench.output_bytes());
    const Seconds time = MedianOf(each, [&] { return TimeDeviceCopy(workbench, bytes); });
    values["ceilings.hbm_read"] = {2 * Real(bytes) / time.value(),
                                   "bytes read plus bytes written, a copy of " +
                                       ToString(Bytes(bytes)) + " within device memory"};
  }
  if (wanted("ceilings.gemm")) {
    const Call gemm = MakeComputeCalls(workbench, timer).gemm;
    gemm.check();
    const Seconds time = MedianOf(each, [&] { return timer.Sample(gemm, 1); });
    values["ceilings.gemm"] = {gemm.work.flops.value() / time.value(),
                               std::to_string(gemm.work.items) + " tokens by " +
                                   ToString(gemm.work.item_bytes) + " of weights"};
  }
  AddSizes(workbench, wanted, values);
  if (wanted("latencies.kernel")) {
    values["latencies.kernel"] = {
        MedianOf(each, [&] { return TimeLaunch(workbench); }).value(),
        std::to_string(kLaunches) + " norms of 64 elements in a row, time of one"};
  }
  if (wanted("counts.cpu.scatter.threads")) {
    values["counts.cpu.scatter.threads"] = {Real(threads), "configured"};
  }
  if (wanted("counts.attention.block_tokens")) {
    values["counts.attention.block_tokens"] = {Real(workbench.model().layout.block_tokens),
                                               "configured"};
  }
  if (wanted("counts.attention.query_tile_rows")) {
    values["counts.attention.query_tile_rows"] = {Real(workbench.device().query_tile_rows),
                                                  "of this backend's kernel"};
  }
  return values;
}

ComputeCalls MakeComputeCalls(Workbench& workbench, Timer& timer) {
  const ModelShape& model = workbench.model();
  const std::int64_t width = 2 * model.intermediate;
  const std::int64_t most_tokens =
      std::min<std::int64_t>(8192, workbench.output_bytes() / (width * model.element_bytes()));
  const std::int64_t tokens = workbench.input_bytes() / model.kv_token_bytes();
  const std::int64_t block = model.layout.block_tokens;
  constexpr std::int64_t kRequests = 8;
  return {LongEnough(timer, 1, most_tokens,
                     [&](std::int64_t m) { return MakeGemm(workbench, m, width, model.hidden); }),
          LongEnough(timer, block, tokens / kRequests / block * block, [&](std::int64_t length) {
            return MakeDecode(workbench, false, kRequests, length);
          })};
}

Interference MeasureInterference(Workbench& workbench, Timer& timer, const Call& compute,
                                 const Call& transfer, Seconds budget) {
  const Seconds deadline = Now() + budget;
  timer.Sample(transfer, 1);
  const double ratio = timer.Sample(compute, 1) / timer.Sample(transfer, 1);
  const auto chunks = static_cast<std::int64_t>(std::clamp(std::ceil(1.3 * ratio), 1.0, 256.0));
  std::vector<double> computes[2];  // alone, beside
  std::vector<double> transfers[2];
  // Alone and beside in turn, so that a slow phase of the machine meets both.
  for (int pass = 0; pass == 0 || (pass < 20 && Now() < deadline); ++pass) {
    for (int i = 0; i < kCallsPerPass; ++i) {
      computes[0].push_back(timer.Sample(compute, 1).value());
      transfers[0].push_back(timer.Sample(transfer, 1).value());
    }
    OverlapCalls(workbench.backend(), compute, transfer, chunks, computes[1], transfers[1]);
  }
  return {Seconds(Summarize(computes[0]).median), Seconds(Summarize(computes[1]).median),
          Seconds(Summarize(transfers[0]).median), Seconds(Summarize(transfers[1]).median)};
}

Values MeasureSlowdowns(Workbench& workbench, Timer& timer, Seconds budget,
                        const std::function<bool(const std::string&)>& wanted) {
  Values values;
  std::vector<Transfer> transfers;
  for (Transfer& transfer : MakeTransfers(workbench)) {
    if (wanted("slowdowns." + transfer.name)) transfers.push_back(std::move(transfer));
  }
  if (transfers.empty()) return values;
  const ComputeCalls compute = MakeComputeCalls(workbench, timer);
  compute.gemm.check();
  compute.decode.check();
  const Seconds each = budget / (2 * Real(static_cast<std::int64_t>(transfers.size())));
  for (const auto& [name, transfer] : transfers) {
    transfer.check();
    const auto with_gemm = MeasureInterference(workbench, timer, compute.gemm, transfer, each);
    const auto with_decode = MeasureInterference(workbench, timer, compute.decode, transfer, each);
    const double worse = std::max(with_gemm.slowdown(), with_decode.slowdown());
    values["slowdowns." + name] = {
        std::max(worse, 1.0),
        "transfers of " + std::to_string(transfer.work.items) + " x " +
            ToString(transfer.work.item_bytes) + " without a pause beside a GEMM of " +
            ToString(with_gemm.compute_alone) + " (" + Percent(with_gemm.slowdown()) +
            " slower) and full decode attention of " + ToString(with_decode.compute_alone) + " (" +
            Percent(with_decode.slowdown()) + " slower); the transfer itself is " +
            Percent(with_gemm.transfer_beside / with_gemm.transfer_alone) + " and " +
            Percent(with_decode.transfer_beside / with_decode.transfer_alone) + " slower"};
  }
  return values;
}

}  // namespace sparseserve::bench
