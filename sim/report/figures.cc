#include "sim/report/figures.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <functional>
#include <string_view>
#include <system_error>

#include "sim/core/atomic_file.h"
#include "sim/report/html_run.h"

namespace sparseserve::report {
namespace {

using Runs = std::vector<ReportRun>;
// Lines "x<TAB>y" of one run; empty where it has none.
using Points = std::function<std::string(const ReportRun&)>;

struct Figure {
  std::string_view name;
  std::string_view xlabel, ylabel;
  std::string_view more;   // further commands
  std::string_view style;  // of the lines
  Points points;
};

// Okabe and Ito's colours with a dash each, so that lines differ in print without colours too.
constexpr std::string_view kHead =
    "# gnuplot NAME.gp, in this directory, draws NAME.svg and NAME.png from NAME.tsv.\n"
    "set linetype 1 lc rgb '#0072b2' lw 2 dt 1\n"
    "set linetype 2 lc rgb '#d55e00' lw 2 dt (8,3)\n"
    "set linetype 3 lc rgb '#009e73' lw 2 dt (2,2)\n"
    "set linetype 4 lc rgb '#cc79a7' lw 2 dt (8,3,2,3)\n"
    "set linetype 5 lc rgb '#e69f00' lw 2 dt (14,4)\n"
    "set linetype 6 lc rgb '#56b4e9' lw 2 dt (4,4,1,4)\n"
    "set linetype 7 lc rgb '#000000' lw 2 dt (1,4)\n"
    "set linetype cycle 7\n"
    "set grid lc rgb '#dddddd' lw 1 dt 1\n"
    "set border 3\n"
    "set tics nomirror\n"
    "set key outside top center horizontal noenhanced\n"
    "set yrange [0:*]\n";

// A text in single quotes, in which gnuplot replaces nothing.
std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return quoted + "'";
}

std::string CdfLines(const Cdf& cdf) {
  std::string lines;
  for (const CdfPoint& point : cdf) lines += fmt::format("{}\t{}\n", point.value, point.share);
  return lines;
}

// A line for each bucket of time; `value` gets its index.
template <typename Value>
std::string TimeLines(const ReportRun& run, const Value& value) {
  std::string lines;
  for (std::size_t i = 0; i < run.series.buckets().size(); ++i) {
    const double begin_s = static_cast<double>(i) * run.series.width_s();
    lines += fmt::format("{:.6g}\t{:.6g}\n", begin_s, value(i));
  }
  return lines;
}

Points GaugePoints(Gauge gauge, double unit) {
  return [=](const ReportRun& run) {
    return TimeLines(run, [&](std::size_t i) {
      return run.series.buckets()[i][gauge].area /
             (run.series.covered_s(i) * run.num_replicas * unit);
    });
  };
}

Points RatePoints(Amount amount, double unit) {
  return [=](const ReportRun& run) {
    return TimeLines(run, [&](std::size_t i) {
      return run.series.buckets()[i][amount] / (run.series.covered_s(i) * run.num_replicas * unit);
    });
  };
}

std::vector<Figure> Figures() {
  constexpr std::string_view kLog = "set logscale x\nset autoscale xfix\nset yrange [0:100]\n";
  constexpr std::string_view kTime = "time, s";
  return {
      {"cdf_ttft", "time to first token, ms", "requests, %", kLog, "lines",
       [](const ReportRun& run) { return CdfLines(run.ttft_ms); }},
      {"cdf_tpot", "mean time between tokens of a request, ms", "requests, %", kLog, "lines",
       [](const ReportRun& run) { return CdfLines(run.tpot_ms); }},
      {"cdf_e2el", "end-to-end latency, ms", "requests, %", kLog, "lines",
       [](const ReportRun& run) { return CdfLines(run.e2el_ms); }},
      {"batch", kTime, "requests in the batch", "", "steps", GaugePoints(Gauge::kBatch, 1)},
      {"queue", kTime, "requests waiting", "", "steps", GaugePoints(Gauge::kQueue, 1)},
      {"hbm", kTime, "HBM used for KV, GB", "", "steps", GaugePoints(Gauge::kHbmBytes, 1e9)},
      {"dram", kTime, "DRAM used for KV, GB", "", "steps", GaugePoints(Gauge::kDramBytes, 1e9)},
      {"h2d", kTime, "loaded, GB/s", "", "steps", RatePoints(Amount::kH2dBytes, 1e9)},
      {"load_stall", kTime, "load stall, % of time", "", "steps",
       RatePoints(Amount::kLoadStall, 0.01)},
  };
}

// Where the time goes, a stacked bar for each run.
std::string ShareData(const Runs& runs) {
  constexpr std::array kShares = {Metric::kComputeShare,   Metric::kAttentionShare,
                                  Metric::kLoadStallShare, Metric::kSaveStallShare,
                                  Metric::kHostShare,      Metric::kIdleShare};
  std::string data = "run\tcompute\tattention\t\"load stall\"\t\"save stall\"\thost\tidle\n";
  for (const ReportRun& run : runs) {
    std::string name;  // a field of the data file: no quote, no tab
    for (const char c : run.label())
      name += c == '"' || static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    data += '"' + name + '"';
    for (const Metric share : kShares)
      data += fmt::format("\t{:.6g}", run.figures[share].value_or(0));
    data += '\n';
  }
  return data;
}

void WriteFile(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.Append(text);
  file.Commit();
}

// Leaves NAME.gp: what draws `plot` with `more` set before it.
std::string WriteScript(const std::string& out, std::string_view name, const std::string& more,
                        const std::string& plot) {
  std::string script(kHead);
  for (std::size_t at = script.find("NAME"); at != std::string::npos; at = script.find("NAME"))
    script.replace(at, 4, name);
  script += more;
  const auto draw = [&](std::string_view terminal, std::string_view suffix) {
    script +=
        fmt::format("set terminal {}\nset output '{}.{}'\n{}\n", terminal, name, suffix, plot);
  };
  draw("svg size 640,400 noenhanced font 'sans,12' background '#ffffff'", "svg");
  draw("pngcairo size 1280,800 noenhanced font 'sans,20' fontscale 1 linewidth 2", "png");
  const std::string file = fmt::format("{}.gp", name);
  WriteFile((std::filesystem::path(out) / file).string(), script);
  return file;
}

// Empty where no run has points.
std::string WriteLines(const Figure& figure, const Runs& runs, const std::string& out) {
  std::string data, plot;
  std::size_t index = 0;
  for (const ReportRun& run : runs) {
    const std::string points = figure.points(run);
    if (points.empty()) continue;
    std::string title = run.label();
    for (char& c : title)
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    data += fmt::format("{}# {}\n{}", index > 0 ? "\n\n" : "", title, points);
    plot += fmt::format("{}'{}.tsv' index {} using 1:2 with {} title {}",
                        index > 0 ? ", \\\n  " : "plot ", figure.name, index, figure.style,
                        Quoted(title));
    ++index;
  }
  if (index == 0) return "";
  WriteFile((std::filesystem::path(out) / fmt::format("{}.tsv", figure.name)).string(), data);
  return WriteScript(out, figure.name,
                     fmt::format("set xlabel '{}'\nset ylabel '{}'\n{}", figure.xlabel,
                                 figure.ylabel, figure.more),
                     plot);
}

std::string WriteShares(const Runs& runs, const std::string& out) {
  WriteFile((std::filesystem::path(out) / "time_share.tsv").string(), ShareData(runs));
  return WriteScript(
      out, "time_share",
      "# Fills: compute, attention, load stall, save stall, host, idle.\n"
      "set linetype 1 lc rgb '#0072b2' dt 1\nset linetype 2 lc rgb '#009e73' dt 1\n"
      "set linetype 3 lc rgb '#d55e00' dt 1\nset linetype 4 lc rgb '#cc79a7' dt 1\n"
      "set linetype 5 lc rgb '#e69f00' dt 1\nset linetype 6 lc rgb '#dddddd' dt 1\n"
      "set datafile separator tab\nset style data histograms\nset style histogram rowstacked\n"
      "set style fill solid 1 border rgb '#ffffff'\nset boxwidth 0.7\nset yrange [0:100]\n"
      "set ylabel 'time, %'\nset xtics rotate by 20 right noenhanced\n",
      "plot for [i=2:7] 'time_share.tsv' using i:xtic(1) title columnheader(i)");
}

}  // namespace

std::vector<std::string> WriteFigures(std::span<const std::string> directories,
                                      const std::string& out) {
  const Runs runs = ReadReportRuns(directories);
  MakeOutputDirectory(out);
  std::vector<std::string> scripts;
  for (const Figure& figure : Figures()) scripts.push_back(WriteLines(figure, runs, out));
  scripts.push_back(WriteShares(runs, out));
  std::erase(scripts, "");
  return scripts;
}

}  // namespace sparseserve::report
