#include "sim/report/table.h"

#include <gmock/gmock.h>

#include <sstream>
#include <string>
#include <vector>

#include "tests/sim/report/test_runs.h"

namespace sparseserve::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Full attention, which selects no blocks; twice as fast with offload; and one that serves nobody.
std::vector<metrics::Summary> ThreeSystems() {
  metrics::Summary vllm;
  vllm.labels.system = "vllm";
  vllm.completed = 1000;
  vllm.request_throughput = 0.05049;
  vllm.output_throughput = 99.996;
  vllm.total_output_tokens = Tokens(50'000);
  vllm.ttft_ms = {.mean = 123'456, .median = 0, .std = 0, .p95 = 0, .p99 = 1'000'000, .max = 0};
  vllm.itl_ms = {.mean = 9.9996, .median = 0, .std = 0, .p95 = 0, .p99 = 99.94, .max = 0};
  vllm.batch_mean = 3.25;
  vllm.saturated = true;
  vllm.labels.extrapolated = true;

  metrics::Summary sparse = vllm;
  sparse.labels.system = "sparseserve";
  sparse.output_throughput = 199.992;
  sparse.batch_mean = 21.5;
  sparse.totals.block_touches = 1'000'000;
  sparse.hit_rate = 0.91254;
  sparse.block_loads_per_iteration = 12'345.6;
  sparse.time_share.load_stall = 0.0371;
  sparse.preemptions = 12;
  sparse.saturated = false;
  sparse.labels.extrapolated = false;

  metrics::Summary none;
  none.labels.system = "none";
  none.failed = 1000;
  return {vllm, sparse, none};
}

TEST(ComparisonTableTest, TerminalColumnsAreAlignedAndDefined) {
  EXPECT_EQ("\n" + ComparisonTable(ThreeSystems()),
            R"(
              done/          output     vs  TTFT s  TTFT s  TBT ms  TBT ms  batch   hit  blocks    load  pre-
system       failed   req/s   tok/s  first    mean     P99    mean     P99   mean     %   /iter  stall%  empt  flags
--------------------------------------------------------------------------------------------------------------------
vllm         1000/0  0.0505   100.0  1.00x   123.5    1000   10.00   99.94    3.2     -       -       -     0     SE
sparseserve  1000/0  0.0505   200.0  2.00x   123.5    1000   10.00   99.94   21.5  91.3   12346     3.7    12      -
none         0/1000       0       0  0.00x       -       -       -       -    0.0     -       -       -     0      -

TTFT: arrival to first token. TBT: gap between tokens, pooled over requests (vLLM's ITL). vs first: output tok/s.
hit: selected KV blocks found in HBM. blocks/iter: loaded per iteration with a decode. load stall: compute waits.
flags: S saturated (queue grows, latency follows the length of the trace), E extrapolated (beyond what was measured).
)");
}

TEST(ComparisonTableTest, FitsIntoTheWidthOfATerminal) {
  std::istringstream lines(ComparisonTable(ThreeSystems()));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
}

TEST(ComparisonTableTest, MarkdownHasAHeadingARuleAndOneRowPerRun) {
  EXPECT_THAT(
      ComparisonTable(ThreeSystems(), Style::kMarkdown),
      ::testing::StartsWith(
          R"(| system | done/failed | req/s | output tok/s | vs first | TTFT mean (s) | TTFT P99 (s) | TBT mean (ms) | TBT P99 (ms) | batch mean | hit rate (%) | blocks loaded/iter | load stall (%) | preemptions | flags |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| vllm | 1000/0 | 0.0505 | 100.0 | 1.00x | 123.5 | 1000 | 10.00 | 99.94 | 3.2 | - | - | - | 0 | SE |
| sparseserve | 1000/0 | 0.0505 | 200.0 | 2.00x | 123.5 | 1000 | 10.00 | 99.94 | 21.5 | 91.3 | 12346 | 3.7 | 12 | - |
| none | 0/1000 | 0 | 0 | 0.00x | - | - | - | - | 0.0 | - | - | - | 0 | - |

TTFT: )"));
}

TEST(ComparisonTableTest, NothingToCompareWithIsADash) {
  std::vector<metrics::Summary> runs = ThreeSystems();
  std::swap(runs.front(), runs.back());
  EXPECT_THAT(ComparisonTable(runs, Style::kMarkdown), Not(HasSubstr("x |")));
}

TEST(ResultBlockTest, HasTheLinesOfVllmsBlockAndOurs) {
  EXPECT_EQ("\n" + ResultBlock(SummaryOfThreeRequests(
                       {.ttft = Seconds(0.26), .tpot = std::nullopt, .e2el = std::nullopt})),
            R"(
============ Serving Benchmark Result ============
Successful requests:                     3
Failed requests:                         0
Benchmark duration (s):                  0.50
Total input tokens:                      350
Total generated tokens:                  6
Request throughput (req/s):              6.00
Request goodput (req/s):                 4.00
Output token throughput (tok/s):         12.00
Total token throughput (tok/s):          712.00
---------------Time to First Token----------------
Mean TTFT (ms):                          250.00
Median TTFT (ms):                        250.00
P99 TTFT (ms):                           397.00
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          87.50
Median TPOT (ms):                        87.50
P99 TPOT (ms):                           99.75
---------------Inter-token Latency----------------
Mean ITL (ms):                           83.33
Median ITL (ms):                         100.00
P99 ITL (ms):                            100.00
----------------End-to-end Latency----------------
Mean E2EL (ms):                          333.33
Median E2EL (ms):                        350.00
P99 E2EL (ms):                           399.00
----------------Batch and KV Cache----------------
Mean batch (requests):                   1.50
P99 scheduling delay (s):                0.30
Preemptions:                             1
Hit rate (%):                            75.00
Blocks loaded per iteration:             10.00
Loaded from DRAM:                        160 KiB
Saved to DRAM:                           4.00 KiB
----------------Share of Time (%)-----------------
Compute:                                 26.00
Attention:                               17.00
Load stall:                              5.00
Save stall:                              0.50
Host:                                    1.50
Idle:                                    50.00
==================================================
saturated: the queue grows, latency depends on the trace's length
)");
}

TEST(ResultBlockTest, LeavesOutWhatDoesNotExist) {
  const std::string text = ResultBlock(ThreeSystems().front());
  EXPECT_THAT(text, Not(HasSubstr("goodput")));
  EXPECT_THAT(text, Not(HasSubstr("Hit rate")));
  EXPECT_THAT(text, HasSubstr("extrapolated: "));
}

}  // namespace
}  // namespace sparseserve::report
