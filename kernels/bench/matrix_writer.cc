// The bench matrix as Markdown for people and as JSON for programs.
#include <cmath>
#include <cstdio>
#include <string>

#include "kernels/bench/bench_matrix.h"
#include "kernels/bench/json_writer.h"

namespace sparseserve::bench {
namespace {

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string GigabytesPerSecond(double rate) { return Fixed(rate / 1e9, 2); }
std::string Percent(double share) { return Fixed(100 * share, 1) + " %"; }
std::string Workers(int cap) { return cap == 0 ? "default" : std::to_string(cap); }

std::string Size(const MatrixRow& row) {
  return std::to_string(row.block_bytes / 1024) + " KiB" + (row.is_split ? ", K/V apart" : "");
}

}  // namespace

void PrintMarkdown(const MatrixResult& result, const kernels::DeviceInfo& device,
                   std::ostream& out) {
  out << "## " << device.name << ", " << device.runtime << "\n\n| value | | how |\n|---|---|---|\n";
  for (const auto& [name, value] : result.values) {
    const bool is_rate = name.starts_with("ceilings.") && value.value > 1e6;
    out << "| " << name << " | "
        << (is_rate ? Fixed(value.value / 1e9, 2) + " G/s" : NumberJson(value.value)) << " | "
        << value.how << " |\n";
  }
  out << "\n| method | block | blocks | workers | GB/s | with submission | of one large copy |\n"
         "|---|---|---|---|---|---|---|\n";
  for (const MatrixRow& row : result.rows) {
    out << "| " << row.method << " | " << Size(row) << " | " << row.num_blocks << " | "
        << Workers(row.max_workers) << " | " << GigabytesPerSecond(row.bytes_per_s)
        << (row.noisy ? " (noisy)" : "") << " | " << GigabytesPerSecond(row.submitted_bytes_per_s)
        << " | " << Percent(row.share_of_copy) << " |\n";
  }
  out << "\n| block | a kernel beats copies from |\n|---|---|\n";
  for (const Crossover& crossover : result.crossovers) {
    out << "| " << crossover.block_bytes / 1024 << " KiB | "
        << (crossover.num_blocks == 0 ? "never here"
                                      : std::to_string(crossover.num_blocks) + " blocks")
        << " |\n";
  }
  out << "\n| transfer | workers | GEMM slower by | decode slower by | transfer slower by |\n"
         "|---|---|---|---|---|\n";
  for (const MatrixInterference& row : result.interference) {
    out << "| " << row.method << " | " << Workers(row.max_workers) << " | "
        << Percent(row.gemm.slowdown() - 1) << " | " << Percent(row.decode.slowdown() - 1) << " | "
        << Percent(row.gemm.transfer_beside / row.gemm.transfer_alone - 1) << " |\n";
  }
}

void WriteMatrix(const MatrixResult& result, const calibration::MeasurementSet& context,
                 std::ostream& out) {
  const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
  JsonArray rows;
  for (const MatrixRow& row : result.rows) {
    rows.push_back(
        {{"name", QuoteJson(row.method + "/blocks:" + std::to_string(row.num_blocks) +
                            "/block_bytes:" + std::to_string(row.block_bytes) + "/workers:" +
                            std::to_string(row.max_workers) + (row.is_split ? "/split" : ""))},
         {"method", QuoteJson(row.method)},
         {"block_bytes", std::to_string(row.block_bytes)},
         {"blocks", std::to_string(row.num_blocks)},
         {"max_workers", std::to_string(row.max_workers)},
         {"split", flag(row.is_split)},
         {"bytes_per_second", NumberJson(row.bytes_per_s)},
         {"submitted_bytes_per_second", NumberJson(row.submitted_bytes_per_s)},
         {"share_of_copy", NumberJson(row.share_of_copy)},
         {"noisy", flag(row.noisy)}});
  }
  JsonArray crossovers;
  for (const Crossover& crossover : result.crossovers) {
    crossovers.push_back({{"block_bytes", std::to_string(crossover.block_bytes)},
                          {"blocks", std::to_string(crossover.num_blocks)}});
  }
  JsonArray interference;
  for (const MatrixInterference& row : result.interference) {
    interference.push_back(
        {{"method", QuoteJson(row.method)},
         {"max_workers", std::to_string(row.max_workers)},
         {"gemm_slowdown", NumberJson(row.gemm.slowdown())},
         {"decode_slowdown", NumberJson(row.decode.slowdown())},
         {"gemm_alone_s", NumberJson(row.gemm.compute_alone.value())},
         {"decode_alone_s", NumberJson(row.decode.compute_alone.value())},
         {"transfer_alone_s", NumberJson(row.gemm.transfer_alone.value())},
         {"transfer_beside_gemm_s", NumberJson(row.gemm.transfer_beside.value())}});
  }
  out << "{\n  \"context\": ";
  WriteContext(context, out);
  out << ",\n  \"benchmarks\": ";
  WriteArray(rows, out);
  out << ",\n  \"crossovers\": ";
  WriteArray(crossovers, out);
  out << ",\n  \"interference\": ";
  WriteArray(interference, out);
  out << ",\n  \"values\": ";
  WriteValues(result.values, out);
  out << "\n}\n";
}

}  // namespace sparseserve::bench
