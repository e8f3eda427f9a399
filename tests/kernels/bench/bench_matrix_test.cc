#include "kernels/bench/bench_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "kernels/backend.h"
#include "kernels/bench/calibration_plan.h"

namespace sparseserve::bench {
namespace {

MatrixRow MakeRow(std::string method, std::int64_t size, std::int64_t count, double rate) {
  MatrixRow row;
  row.method = std::move(method);
  row.block_bytes = size;
  row.num_blocks = count;
  row.submitted_bytes_per_s = rate;
  return row;
}

TEST(CrossoverTest, IsTheCountFromWhichAKernelAlwaysWins) {
  std::vector<MatrixRow> rows;
  // 4 KiB: the kernel wins at 16, loses at 64, wins from 256 on.
  const double kernel[] = {2, 2, 5, 6};
  const double copies[] = {1, 3, 4, 4};
  const std::int64_t counts[] = {16, 64, 256, 1024};
  for (int i = 0; i < 4; ++i) {
    rows.push_back(MakeRow("h2d.flash", 4096, counts[i], kernel[i]));
    rows.push_back(MakeRow("h2d.memcpy", 4096, counts[i], copies[i] / 2));
    rows.push_back(MakeRow("h2d.batch", 4096, counts[i], copies[i]));
  }
  // 64 KiB: copies win at the largest count.
  rows.push_back(MakeRow("h2d.flash", 65536, 16, 9));
  rows.push_back(MakeRow("h2d.memcpy", 65536, 16, 1));
  rows.push_back(MakeRow("h2d.flash", 65536, 64, 1));
  rows.push_back(MakeRow("h2d.memcpy", 65536, 64, 9));
  // None of these counts.
  rows.push_back(MakeRow("d2h.direct", 4096, 16, 99));
  rows.push_back(MakeRow("h2d.bulk", 65536, 64, 99));
  rows.back().max_workers = 4;
  rows.push_back(MakeRow("h2d.bulk", 65536, 64, 99));
  rows.back().is_split = true;

  const std::vector<Crossover> crossovers = FindCrossovers(rows);
  ASSERT_EQ(crossovers.size(), 2u);
  EXPECT_EQ(crossovers[0].block_bytes, 4096);
  EXPECT_EQ(crossovers[0].num_blocks, 256);
  EXPECT_EQ(crossovers[1].block_bytes, 65536);
  EXPECT_EQ(crossovers[1].num_blocks, 0);
}

TEST(BenchMatrixTest, QuickRunFillsTableAndFile) {
  const auto backend = kernels::MakeBackend("cpu", {});
  constexpr Bytes kPool{std::int64_t{24} << 20};
  Workbench workbench(*backend, DefaultModelShape("cpu"), {kPool, kPool, kPool, kPool, kPool},
                      {2, Bytes(1 << 20), 1, nullptr}, 1);
  MatrixOptions options;
  options.budget_s = 2;
  options.quick = true;
  const MatrixResult result = MeasureMatrix(workbench, options);
  std::set<std::string> methods;
  for (const MatrixRow& row : result.rows) {
    methods.insert(row.method);
    EXPECT_GT(row.bytes_per_s, 0);
    EXPECT_GT(row.submitted_bytes_per_s, 0);
  }
  EXPECT_THAT(methods, testing::ElementsAre("d2h.direct", "d2h.flash", "d2h.memcpy", "h2d.flash",
                                            "h2d.memcpy"));
  EXPECT_EQ(result.crossovers.size(), 3u);

  std::ostringstream markdown;
  PrintMarkdown(result, backend->Describe(), markdown);
  EXPECT_THAT(markdown.str(), testing::HasSubstr("| h2d.flash | 16 KiB | 256 | default |"));
  std::ostringstream text;
  WriteMatrix(result, DescribeDevice(*backend, "abc"), text);
  const auto json = nlohmann::json::parse(text.str());
  EXPECT_EQ(json["benchmarks"].size(), result.rows.size());
  EXPECT_EQ(json["interference"].size(), result.interference.size());
  EXPECT_EQ(json["context"]["commit"], "abc");
}

}  // namespace
}  // namespace sparseserve::bench
