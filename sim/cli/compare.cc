#include <charconv>
#include <iostream>

#include "sim/cli/command.h"
#include "sim/core/error.h"
#include "sim/report/comparison.h"
#include "sim/report/comparison_text.h"
#include "sim/report/run_reader.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve compare A B [options]\n\n"
    "Lays two results side by side, component by component, and says which component explains the\n"
    "gap. A is the measured side, B the predicted one, or any two. Each is the directory of a run\n"
    "(its summary.json alone knows no iterations), the JSON of 'vllm bench serve --save-result', "
    "or\n"
    "AIPerf's profile_export_aiperf.json; what it is follows from its content.\n\n"
    "The error is (B - A) / A, for percentages B - A in points. The exit code is 4 when a key "
    "metric\n"
    "is off by more than the tolerance, 0 otherwise; key metrics that a side lacks are not "
    "judged.\n"
    "\n";
constexpr const char* kExamples =
    "\nexamples (runs made by 'sparseserve simulate ... --out out/a')\n"
    "  sparseserve compare out/a/vllm-so ~/bench/vllm.json --tolerance 0.05\n"
    "  sparseserve compare out/a/sparseserve out/b/sparseserve --out out/a-b\n";

po::options_description Options() {
  po::options_description options("options", 100, 70);
  options.add_options()("help,h", "print this text")("tolerance", Text("X", "0.1"),
                                                     "of key metrics: 0.1 is 10 %, or 10 points")(
      "json", Text("-"), "'-': print the comparison as JSON on standard output, not the tables")(
      "out", Text("DIR"), "also write compare.json, compare.csv and compare.md there");
  return options;
}

double ParseTolerance(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 0 && value <= 100)
    return value;
  throw InputError({.where = {},
                    .key = "--tolerance",
                    .what = "'" + text + "' is no tolerance",
                    .expected = "a number from 0 to 100",
                    .hint = "0.1 is 10 %"});
}

void PrintWarnings(const report::Comparison& comparison) {
  for (const report::RunFigures* side : {&comparison.a, &comparison.b}) {
    for (const std::string& remark : side->remarks)
      std::cerr << "warning: " << side->source << ": " << remark << "\n";
  }
  if (comparison.differences.empty()) return;
  std::cerr << "warning: A and B differ in ";
  const char* separator = "";
  for (const std::string& difference : comparison.differences) {
    std::cerr << separator << difference;
    separator = ", ";
  }
  std::cerr << "\n";
}

[[noreturn]] void Reject(std::string key, std::string what, std::string expected) {
  throw InputError({.where = {},
                    .key = std::move(key),
                    .what = std::move(what),
                    .expected = std::move(expected),
                    .hint = ""});
}

}  // namespace

int Compare(const Arguments& arguments) {
  const po::options_description options = Options();
  po::options_description all;
  all.add(options).add_options()("a", Text(""))("b", Text(""));
  const po::variables_map values = Parse(arguments, all, {"a", "b"}, "compare");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kExamples << "\nmetrics\n" << report::MetricDefinitions();
    return kDone;
  }
  const std::string a = values["a"].as<std::string>();
  const std::string b = values["b"].as<std::string>();
  const std::string json = values["json"].as<std::string>();
  if (a.empty() || b.empty())
    Reject("compare", "two results are needed", "sparseserve compare A B");
  if (!json.empty() && json != "-") Reject("--json", "'" + json + "' is no destination", "-");
  const double tolerance = ParseTolerance(values["tolerance"].as<std::string>());

  const report::RunFigures figures = report::ReadRunFigures(a);  // A's faults are told first
  const report::Comparison comparison =
      report::Compare(figures, report::ReadRunFigures(b), tolerance);
  if (!comparison.IsJudged())
    Reject("compare", "no key metric is known to both " + a + " and " + b, "two results of runs");
  PrintWarnings(comparison);
  const std::string out = values["out"].as<std::string>();
  if (!out.empty()) report::WriteComparison(out, comparison);
  std::cout << (json == "-" ? report::ComparisonJson(comparison)
                            : report::ComparisonText(comparison));
  if (comparison.IsWithinTolerance()) return kDone;
  std::cerr << "sparseserve: " << report::Verdict(comparison) << "\n";
  return kToleranceExceeded;
}

}  // namespace sparseserve::cli
