#include <gmock/gmock.h>

#include <cstdint>
#include <limits>
#include <string>

#include "sim/report/csv_row.h"
#include "sim/report/iterations_csv.h"
#include "sim/report/requests_csv.h"
#include "tests/sim/report/test_runs.h"

namespace sparseserve::report {
namespace {

TEST(CsvRowTest, TimesAreExact) {
  CsvRow row;
  row.AddSeconds(0).AddSeconds(1).AddSeconds(1'500'000'000).AddSeconds(10'000'000'000);
  row.AddSeconds(-1'250'000'000).AddMilliseconds(1).AddMilliseconds(2'345'678);
  EXPECT_EQ(row.Finish(), "0,0.000000001,1.5,10,-1.25,0.000001,2.345678\n");
}

TEST(CsvRowTest, ExtremesFit) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  CsvRow row;
  row.Add(kMin).AddSeconds(kMax).AddSeconds(kMin).Add(-std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(row.Finish(),
            "-9223372036854775808,9223372036.854775807,-9223372036.854775808,-5e-324\n");
}

TEST(CsvRowTest, EmptyFieldsKeepTheirPlace) {
  CsvRow row;
  row.AddEmpty().Add(std::int64_t{1}).AddEmpty().AddEmpty();
  EXPECT_EQ(row.Finish(), ",1,,\n");
  row.Add(0.1);
  EXPECT_EQ(row.Finish(), "0.1\n");
}

std::string RequestsText(const metrics::RequestRecords& requests) {
  TemporaryDirectory dir;
  AtomicFile file(dir / "requests.csv");
  WriteRequestsCsv(requests, file);
  file.Commit();
  return ReadFile(dir / "requests.csv");
}

constexpr char kRequestsHeader[] =
    "id,replica,arrival_s,scheduled_s,first_token_s,finish_s,prompt_tokens,output_tokens,ttft_ms,"
    "tpot_ms,e2el_ms,scheduling_delay_s,preemptions,failed,ttft_queue_ms,ttft_held_ms,"
    "ttft_prefill_compute_ms,ttft_decode_compute_ms,ttft_prefill_attention_ms,"
    "ttft_decode_attention_ms,ttft_load_stall_ms,ttft_eviction_stall_ms,ttft_save_stall_ms,"
    "ttft_host_ms,ttft_recompute_ms\n";

TEST(RequestsCsvTest, HasOneLinePerRequest) {
  metrics::Collector collector;
  RunThreeRequests(collector);
  EXPECT_EQ(RequestsText(collector.requests()),
            std::string(kRequestsHeader) +
                "0,0,0,0,0.1,0.25,100,3,100,75,250,0,0,0,0,0,60,0,40,0,0,0,0,0,0\n"
                "1,0,0.05,0.1,0.3,0.4,200,2,250,100,350,0.05,1,0,50,200,0,0,0,0,0,0,0,0,0\n"
                "2,0,0.1,0.4,0.5,0.5,50,1,400,,400,0.3,0,0,300,100,0,0,0,0,0,0,0,0,0\n");
}

TEST(RequestsCsvTest, FailedRequestHasNoLatencies) {
  metrics::Collector collector;
  collector.OnArrival(Ms(1), 0, 1, Tokens(10), Tokens(5));
  collector.OnArrival(Ms(2), 1, 1, Tokens(10), Tokens(5));
  collector.OnScheduled(Ms(3), 1);
  collector.OnToken(Ms(4), 1);
  collector.OnFinish(Ms(5), 0, true);
  collector.OnFinish(Ms(6), 1, true);
  EXPECT_EQ(RequestsText(collector.requests()),
            std::string(kRequestsHeader) +
                "0,1,0.001,,,0.005,10,0,,,,,0,1,,,,,,,,,,,\n"
                "1,1,0.002,0.003,0.004,0.006,10,1,,,,0.001,0,1,,,,,,,,,,,\n");
}

TEST(IterationsCsvTest, HasOneLinePerIteration) {
  TemporaryDirectory dir;
  AtomicFile file(dir / "iterations.csv");
  IterationsCsv csv(file);
  metrics::Collector collector(&csv);
  RunThreeRequests(collector);
  file.Commit();
  EXPECT_EQ(
      ReadFile(dir / "iterations.csv"),
      "iteration,replica,begin_s,end_s,num_decodes,num_prefills,prefill_token_layers,num_running,"
      "num_waiting,compute_s,attention_s,load_stall_s,save_stall_s,host_s,block_loads,"
      "block_touches,h2d_bytes,d2h_bytes,hbm_used_bytes,dram_used_bytes,h2d_busy_s,d2h_busy_s,"
      "scatter_busy_s\n"
      "0,0,0,0.1,0,1,0,0,0,0.06,0.04,0,0,0,0,0,0,0,0,0,0,0,0\n"
      "1,0,0.1,0.25,1,1,6400,2,1,0.07,0.045,0.025,0.0025,0.0075,10,40,163840,4096,1000,2000,0.03,"
      "0.002,0.000000001\n");
}

}  // namespace
}  // namespace sparseserve::report
