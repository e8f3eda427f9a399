#include "kernels/bench/calibration_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <tuple>

#include "kernels/backend.h"
#include "kernels/bench/call.h"
#include "kernels/bench/json_writer.h"
#include "tests/kernels/bench/faulty_backend.h"

namespace sparseserve::bench {
namespace {

using calibration::Measurement;
using calibration::MeasurementSet;

constexpr Bytes kPool{std::int64_t{24} << 20};

MeasureOptions Quick() {
  MeasureOptions options;
  options.budget_s = 2;
  options.pools = PoolSizes{kPool, kPool, kPool, kPool, kPool};
  options.ring = {2, Bytes(1 << 20), 1, nullptr};
  options.commit = "abc";
  return options;
}

TEST(CalibrationPlanTest, QuickRunMeasuresEveryOperation) {
  const auto backend = kernels::MakeBackend("cpu", {});
  MeasureOptions options = Quick();
  double last_fraction = 0;
  options.progress = [&](const std::string& what, double fraction) {
    EXPECT_FALSE(what.empty());
    EXPECT_GE(fraction, last_fraction);
    EXPECT_LE(fraction, 1);
    last_fraction = fraction;
  };
  const MeasurementSet set = MeasureDevice(*backend, options);
  EXPECT_EQ(set.backend, "cpu");
  EXPECT_EQ(set.provenance.commit, "abc");
  EXPECT_FALSE(set.provenance.device.empty());
  EXPECT_GT(last_fraction, 0);

  std::map<std::string, std::vector<Measurement>> fitted;
  std::map<std::string, int> num_held_out;
  for (const Measurement& point : set.points) {
    EXPECT_GT(point.median, Seconds(0)) << point.operation;
    EXPECT_LE(point.lower_quartile, point.median);
    EXPECT_GE(point.upper_quartile, point.median);
    EXPECT_GE(point.num_samples, 1);
    EXPECT_GT(point.work.items, 0);
    EXPECT_GT(point.work.bytes, Bytes(0));
    if (point.held_out) {
      ++num_held_out[point.operation];
    } else {
      fitted[point.operation].push_back(point);
    }
  }
  for (const std::string operation :
       {"h2d.memcpy", "h2d.flash", "d2h.memcpy", "d2h.direct", "d2h.flash", "cpu.scatter", "gemm",
        "attention.prefill", "attention.decode_full", "attention.decode_sparse", "score", "topk",
        "metadata", "merge", "elementwise"}) {
    ASSERT_GE(fitted[operation].size(), 2u) << operation;
    EXPECT_GE(num_held_out[operation], 1) << operation;
    std::set<std::int64_t> items;
    std::set<Bytes> item_bytes;
    for (const Measurement& point : fitted[operation]) {
      items.insert(point.work.items);
      item_bytes.insert(point.work.item_bytes);
    }
    // A rectangle; that of prefill has other axes.
    if (operation != "attention.prefill") {
      EXPECT_EQ(fitted[operation].size(), items.size() * item_bytes.size()) << operation;
    }
  }
  for (const char* value : {"ceilings.h2d",
                            "ceilings.d2h",
                            "ceilings.duplex",
                            "ceilings.hbm_read",
                            "ceilings.dram_copy",
                            "ceilings.gemm",
                            "ceilings.memory",
                            "ceilings.workers",
                            "latencies.kernel",
                            "latencies.probe",
                            "efficiencies.elementwise.memory",
                            "counts.cpu.scatter.threads",
                            "counts.attention.block_tokens",
                            "counts.attention.query_tile_rows",
                            "slowdowns.h2d.memcpy",
                            "slowdowns.h2d.flash",
                            "slowdowns.cold.h2d.memcpy",
                            "slowdowns.cold.h2d.flash",
                            "slowdowns.d2h.memcpy",
                            "slowdowns.d2h.direct",
                            "slowdowns.d2h.flash"}) {
    ASSERT_TRUE(set.values.contains(value)) << value;
    EXPECT_GT(set.values.at(value).value, 0) << value;
    EXPECT_FALSE(set.values.at(value).how.empty()) << value;
    if (std::string(value).starts_with("slowdowns")) {
      EXPECT_GE(set.values.at(value).value, 1);
    }
  }
  std::ostringstream text;
  WriteMeasurements(set, text);
  const auto json = nlohmann::json::parse(text.str());
  EXPECT_EQ(json["benchmarks"].size(), set.points.size());
  EXPECT_EQ(json["values"].size(), set.values.size());
}

TEST(CalibrationPlanTest, PointsAreDistinctWorkAndSomeAreHeldOut) {
  const auto backend = kernels::MakeBackend("cpu", {});
  MeasureOptions options = Quick();
  options.filter = "^(topk|gemm|h2d.flash)$";
  const MeasurementSet set = MeasureDevice(*backend, options);
  EXPECT_TRUE(set.values.empty());
  std::set<std::tuple<std::string, std::int64_t, Bytes, Bytes>> seen;
  std::size_t num_held_out = 0;
  for (const Measurement& point : set.points) {
    num_held_out += point.held_out ? 1 : 0;
    EXPECT_TRUE(
        seen.emplace(point.operation, point.work.items, point.work.item_bytes, point.work.bytes)
            .second);
  }
  EXPECT_GE(num_held_out * 8, set.points.size());
  EXPECT_LE(num_held_out * 3, set.points.size());
}

TEST(CalibrationPlanTest, CancelledRunReturnsWhatItHas) {
  const auto backend = kernels::MakeBackend("cpu", {});
  MeasureOptions options = Quick();
  options.budget_s = 600;
  options.filter = "^topk$";
  int num_reports = 0;
  options.progress = [&](const std::string&, double) { ++num_reports; };
  options.cancelled = [&] { return num_reports >= 3; };
  const MeasurementSet set = MeasureDevice(*backend, options);
  EXPECT_LT(set.points.size(), 20u);
}

TEST(CalibrationPlanTest, WrongKernelIsNotTimed) {
  FaultyBackend backend(kernels::MakeBackend("cpu", {}), "topk");
  MeasureOptions options = Quick();
  options.filter = "^topk$";
  EXPECT_THROW(MeasureDevice(backend, options), WrongResult);
}

}  // namespace
}  // namespace sparseserve::bench
