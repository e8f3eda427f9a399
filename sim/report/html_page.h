// The page of an HTML report around its data, and what its texts and numbers have to look like
// there. Private to sim/report.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sparseserve::report {

struct PageTexts {
  std::string title, subject;            // plain text
  std::vector<std::string> conclusions;  // plain text, the most important first
  std::vector<std::string> warnings;     // plain text
  std::string data;                      // of EmbeddedJson
  std::string_view script;               // what draws the data: html_assets.h
};

// The whole file: html/page.html with everything in it, texts escaped.
std::string FilledPage(const PageTexts& texts);

// JSON of ASCII without '<', '>' and '&', so that no text in it can end the element that holds it.
// REQUIRES: `json` is ASCII.
std::string EmbeddedJson(std::string_view json);

// Five significant digits: what a chart shows, in half the bytes.
double Rounded(double value);
// Three significant digits, without an exponent.
std::string ThreeDigits(double value);

}  // namespace sparseserve::report
