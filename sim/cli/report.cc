#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>

#include "sim/cli/command.h"
#include "sim/cli/run_gnuplot.h"
#include "sim/core/atomic_file.h"
#include "sim/core/error.h"
#include "sim/report/figures.h"
#include "sim/report/html_report.h"
#include "sim/report/run_directory.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve report DIR... [options]\n"
    "       sparseserve report STORE.sqlite [options]\n\n"
    "Makes one HTML file that opens in any browser and needs no network, of\n"
    "- runs: conclusions, figures with their definitions, latency distributions, time series, "
    "where\n"
    "  the time went, and predictions against measurements. DIR is what 'sparseserve simulate' or\n"
    "  'sparseserve live' wrote: its --out, one system below it, or one run. Several directories\n"
    "  stand side by side, at most 32 runs in all;\n"
    "- a sweep: STORE.sqlite of 'sparseserve sweep'. Effects along its contrast with 95 % "
    "intervals\n"
    "  over seeds, and metrics against each axis of numbers, such as the rate;\n"
    "- a plan: DIR is the --out of 'sparseserve plan'. The ranking with rates, GPUs and costs, "
    "and\n"
    "  the Pareto frontier of tokens/s per user and per GPU.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve report out/run/mooncake\n"
    "  sparseserve report out/a/sparseserve out/b/sparseserve --out a-b.html --title 'LRU or "
    "SIEVE'\n"
    "  sparseserve report out/live\n"
    "  sparseserve report out/eviction.sqlite\n"
    "  sparseserve report out/plan\n";

po::options_description Options() {
  po::options_description options("options", 100, 70);
  options.add_options()("help,h", "print this text")(
      "out", Text("FILE"),
      "the file to write (default: report.html in the first DIR, STORE.html beside a store)")(
      "figures", Text("DIR"),
      "runs: also write the charts for papers there: data, gnuplot scripts, and SVG and PNG where "
      "gnuplot "
      "is installed")("title", Text("TEXT"),
                      "of the page (default: models and hardware, or the name of the sweep)");
  return options;
}

void DrawFigures(const std::vector<std::string>& directories, const std::string& out) {
  const std::vector<std::string> scripts = report::WriteFigures(directories, out);
  const bool are_drawn =
      std::all_of(scripts.begin(), scripts.end(),
                  [&](const std::string& script) { return RunGnuplot(out, script); });
  std::cerr << scripts.size() << " figures in " << out;
  if (!are_drawn)
    std::cerr << ", not drawn: is gnuplot installed? (apt-get install gnuplot-nox; then "
                 "'gnuplot NAME.gp' there)";
  std::cerr << "\n";
}

enum class Subject : std::uint8_t { kRuns, kSweep, kPlan };

// What the inputs are; a sweep or a plan has a page of its own.
Subject SubjectOf(const std::vector<std::string>& inputs, bool has_figures) {
  for (const std::string& input : inputs) {
    const bool is_sweep = std::filesystem::is_regular_file(input);
    if (!is_sweep && !report::HoldsPlan(input)) continue;
    const char* what = is_sweep ? "a file, hence a sweep," : "a plan";
    if (inputs.size() > 1)
      throw InputError({{}, input, std::string(what) + " beside others", "one sweep or plan", ""});
    if (has_figures)
      throw InputError({{}, "--figures", input + " is " + what, "directories of runs", ""});
    return is_sweep ? Subject::kSweep : Subject::kPlan;
  }
  return Subject::kRuns;
}

std::string DefaultOut(Subject subject, const std::string& input) {
  std::filesystem::path path(input);
  if (subject == Subject::kSweep) return path.replace_extension(".html").string();
  return (path / report::kHtmlFile).string();
}

std::string PageOf(Subject subject, const std::vector<std::string>& inputs,
                   const std::string& title) {
  switch (subject) {
    case Subject::kSweep:
      return report::HtmlSweepReport(inputs.front(), title);
    case Subject::kPlan:
      return report::HtmlPlanReport(inputs.front(), title);
    case Subject::kRuns:
      break;
  }
  return report::HtmlReport(inputs, title);
}

}  // namespace

int Report(const Arguments& arguments) {
  const po::options_description options = Options();
  po::options_description all;
  all.add(options).add_options()("directory", Texts(""));
  const po::variables_map values = Parse(arguments, all, {"directory..."}, "report");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kExamples;
    return kDone;
  }
  const auto directories = values["directory"].as<std::vector<std::string>>();
  if (directories.empty()) {
    throw InputError({.where = {},
                      .key = "report",
                      .what = "no directory is given",
                      .expected = "sparseserve report DIR... or STORE.sqlite",
                      .hint = "'sparseserve simulate' writes some"});
  }
  const std::string figures = values["figures"].as<std::string>();
  const Subject subject = SubjectOf(directories, !figures.empty());
  std::string out = values["out"].as<std::string>();
  if (out.empty()) out = DefaultOut(subject, directories.front());
  const std::string page = PageOf(subject, directories, values["title"].as<std::string>());
  AtomicFile file(out);
  file.Append(page);
  file.Commit();
  std::cerr << "report in " << out << "\n";
  if (!figures.empty()) DrawFigures(directories, figures);
  return kDone;
}

}  // namespace sparseserve::cli
