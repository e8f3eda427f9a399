#include "sim/report/html_report.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "sim/report/html_assets.h"
#include "sim/report/html_conclusion.h"
#include "sim/report/html_data.h"
#include "sim/report/html_page.h"
#include "sim/report/html_run.h"

namespace sparseserve::report {
namespace {

std::string Subject(std::span<const ReportRun> runs) {
  std::set<std::string> subjects;
  for (const ReportRun& run : runs)
    subjects.insert(run.figures.model + " on " + run.figures.hardware);
  return fmt::format("{}", fmt::join(subjects, "; "));
}

}  // namespace

std::string HtmlReport(std::span<const std::string> directories, const std::string& title) {
  const std::vector<ReportRun> runs = ReadReportRuns(directories);
  const std::string subject = Subject(runs);
  const std::string number = fmt::format("{} {}", runs.size(), runs.size() == 1 ? "run" : "runs");
  return FilledPage({.title = title.empty() ? subject : title,
                     .subject = title.empty() ? number : subject,
                     .conclusions = Conclusions(runs),
                     .warnings = Warnings(runs),
                     .data = ReportDataJson(runs),
                     .script = kHtmlRunScript});
}

}  // namespace sparseserve::report
