#include "sim/report/html_page.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <map>

#include "sim/core/check.h"
#include "sim/report/html_assets.h"

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

std::string FilledPage(const PageTexts& texts) {
  const std::string title = Escaped(texts.title), subject = Escaped(texts.subject);
  const std::string conclusions = Items(texts.conclusions), warnings = Items(texts.warnings);
  const std::string script = std::string(kHtmlScript) + std::string(texts.script);
  return Filled(kHtmlPage, {{"TITLE", title},
                            {"SUBJECT", subject},
                            {"CONCLUSIONS", conclusions},
                            {"WARNINGS", warnings},
                            {"DATA", texts.data},
                            {"STYLE", kHtmlStyle},
                            {"SCRIPT", script},
                            {"CHART_STYLE", kHtmlChartStyle},
                            {"CHART_SCRIPT", kHtmlChartScript}});
}

std::string EmbeddedJson(std::string_view json) {
  std::string text;
  for (const char c : json) {
    if (c == '<' || c == '>' || c == '&') {
      text += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      text += c;
    }
  }
  return text;
}

double Rounded(double value) {
  const std::string text = fmt::format("{:.5g}", value);
  double rounded = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded;
}

std::string ThreeDigits(double value) {
  const double magnitude = std::abs(value);
  const int decimals = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3;
  return fmt::format("{:.{}f}", value, decimals);
}

}  // namespace sparseserve::report
