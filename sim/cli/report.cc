#include <algorithm>
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
    "usage: sparseserve report DIR... [options]\n\n"
    "Makes one HTML file that shows a run or compares runs: conclusions, figures with their\n"
    "definitions, latency distributions, time series, where the time went, and predictions "
    "against\n"
    "measurements. It opens in any browser and needs no network.\n\n"
    "DIR is what 'sparseserve simulate' or 'sparseserve live' wrote: its --out, one system below "
    "it,\n"
    "or one run. Several directories stand side by side, at most 32 runs in all.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve report out/run/mooncake\n"
    "  sparseserve report out/a/sparseserve out/b/sparseserve --out a-b.html --title 'LRU or "
    "SIEVE'\n"
    "  sparseserve report out/live\n";

po::options_description Options() {
  po::options_description options("options", 100, 70);
  options.add_options()("help,h", "print this text")(
      "out", Text("FILE"), "the file to write (default: report.html in the first DIR)")(
      "figures", Text("DIR"),
      "also write the charts for papers there: data, gnuplot scripts, and SVG and PNG where "
      "gnuplot "
      "is installed")("title", Text("TEXT"), "of the page (default: models and hardware)");
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
                      .expected = "sparseserve report DIR...",
                      .hint = "'sparseserve simulate' writes some"});
  }
  std::string out = values["out"].as<std::string>();
  if (out.empty()) out = (std::filesystem::path(directories.front()) / report::kHtmlFile).string();
  const std::string page = report::HtmlReport(directories, values["title"].as<std::string>());
  AtomicFile file(out);
  file.Append(page);
  file.Commit();
  std::cerr << "report in " << out << "\n";
  const std::string figures = values["figures"].as<std::string>();
  if (!figures.empty()) DrawFigures(directories, figures);
  return kDone;
}

}  // namespace sparseserve::cli
