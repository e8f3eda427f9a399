// A run of three requests small enough to check by hand, and files to look at.
#pragma once

#include "sim/metrics/collector.h"
#include "sim/metrics/summary.h"
#include "tests/temporary_directory.h"

namespace sparseserve::report {

using test::ReadFile;
using test::TemporaryDirectory;
using test::WriteFile;

inline SimTime Ms(std::int64_t ms) { return SimTime(ms * 1'000'000); }

//           arrival  scheduled  tokens at        ttft  tpot  gaps      e2el  (ms)
// request 0       0          0  100, 150, 250     100    75  50, 100    250
// request 1      50        100  300, 400          250   100  100        350
// request 2     100        400  500               400     -             400
// Two iterations of 1 and 2 requests, the second with a decode: 40 units selected, 10 loaded. The
// tokens after 100 ms come from no iteration here: their time counts as held.
inline void RunThreeRequests(metrics::Collector& c) {
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(3));
  c.OnScheduled(Ms(0), 0);
  c.OnArrival(Ms(50), 1, 0, Tokens(200), Tokens(2));
  metrics::IterationRecord it;
  it.begin = Ms(0);
  it.end = Ms(100);
  it.num_prefills = 1;
  it.compute = Seconds(0.06);
  it.attention = Seconds(0.04);
  it.prefill_compute = it.compute;
  it.prefill_attention = it.attention;
  c.OnIteration(it);
  c.OnPrefill(Ms(100), 0);
  c.OnToken(Ms(100), 0);
  c.OnScheduled(Ms(100), 1);
  c.OnArrival(Ms(100), 2, 0, Tokens(50), Tokens(1));
  c.OnToken(Ms(150), 0);
  c.OnToken(Ms(250), 0);
  c.OnFinish(Ms(250), 0, false);
  c.OnToken(Ms(300), 1);
  c.OnPreempted(1);
  c.OnToken(Ms(400), 1);
  c.OnFinish(Ms(400), 1, false);
  c.OnScheduled(Ms(400), 2);
  c.OnToken(Ms(500), 2);
  c.OnFinish(Ms(500), 2, false);

  it = {};
  it.index = 1;
  it.begin = Ms(100);
  it.end = Ms(250);
  it.num_decodes = 1;
  it.num_prefills = 1;
  it.prefill_token_layers = 6400;
  it.num_running = 2;
  it.num_waiting = 1;
  it.compute = Seconds(0.07);
  it.attention = Seconds(0.045);
  it.load_stall = Seconds(0.025);
  it.save_stall = Seconds(0.0025);
  it.host = Seconds(0.0075);
  it.block_loads = 10;
  it.block_touches = 40;
  it.h2d_bytes = Bytes(163840);
  it.d2h_bytes = Bytes(4096);
  it.hbm_used = Bytes(1000);
  it.dram_used = Bytes(2000);
  it.h2d_busy = Seconds(0.03);
  it.d2h_busy = Seconds(0.002);
  it.scatter_busy = Seconds(0.000000001);
  c.OnIteration(it);
  c.CheckConservation();
}

inline metrics::Summary SummaryOfThreeRequests(const metrics::ServiceLevel& slo = {}) {
  metrics::Collector collector;
  RunThreeRequests(collector);
  metrics::RunLabels labels;
  labels.system = "sparseserve";
  labels.model = "lwm-7b";
  labels.hardware = "a100";
  labels.calibration = "a100-40g";
  labels.fidelity = "exact";
  labels.selection = "arkvale";
  labels.seed = 7;
  metrics::KvFigures kv;
  kv.block_bytes = Bytes(16384);
  kv.hbm_capacity_blocks = 1000;
  kv.hbm_peak_blocks = 900;
  kv.dram_peak_bytes = Bytes(123456);
  kv.evictions = 5;
  return metrics::Summarize(collector, slo, 1, labels, kv,
                            {.wall_s = 0.5, .events = 11, .block_touches = 0});
}

}  // namespace sparseserve::report
