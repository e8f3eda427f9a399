#include "sim/report/html_report.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "sim/core/check.h"
#include "sim/report/html_assets.h"
#include "sim/report/html_conclusion.h"
#include "sim/report/html_data.h"
#include "sim/report/html_run.h"

namespace sparseserve::report {
namespace {

// Text between tags or in a quoted attribute. Control characters become blanks.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return escaped;
}

std::string Items(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences) text += "<li>" + Escaped(sentence) + "</li>\n";
  return text;
}

std::string Subject(std::span<const ReportRun> runs) {
  std::set<std::string> subjects;
  for (const ReportRun& run : runs)
    subjects.insert(run.figures.model + " on " + run.figures.hardware);
  return fmt::format("{}", fmt::join(subjects, "; "));
}

// `page` with each {{NAME}} replaced; what is put in is not looked at again.
std::string Filled(std::string_view page,
                   const std::map<std::string_view, std::string_view>& texts) {
  std::string filled;
  while (true) {
    const std::size_t begin = page.find("{{");
    filled += page.substr(0, begin);
    if (begin == std::string_view::npos) return filled;
    const std::size_t end = page.find("}}", begin);
    SPARSESERVE_CHECK(end != std::string_view::npos, "page.html: {{ without }}");
    const auto found = texts.find(page.substr(begin + 2, end - begin - 2));
    SPARSESERVE_CHECK(found != texts.end(), "page.html: a name that nobody knows");
    filled += found->second;
    page.remove_prefix(end + 2);
  }
}

}  // namespace

std::string HtmlReport(std::span<const std::string> directories, const std::string& title) {
  const std::vector<ReportRun> runs = ReadReportRuns(directories);
  const std::string subject = Subject(runs);
  const std::string escaped_title = Escaped(title.empty() ? subject : title);
  const std::string escaped_subject =
      title.empty() ? fmt::format("{} {}", runs.size(), runs.size() == 1 ? "run" : "runs")
                    : Escaped(subject);
  const std::string conclusions = Items(Conclusions(runs));
  const std::string warnings = Items(Warnings(runs));
  const std::string data = ReportDataJson(runs);
  return Filled(kHtmlPage, {{"TITLE", escaped_title},
                            {"SUBJECT", escaped_subject},
                            {"CONCLUSIONS", conclusions},
                            {"WARNINGS", warnings},
                            {"DATA", data},
                            {"STYLE", kHtmlStyle},
                            {"SCRIPT", kHtmlScript},
                            {"CHART_STYLE", kHtmlChartStyle},
                            {"CHART_SCRIPT", kHtmlChartScript}});
}

}  // namespace sparseserve::report
