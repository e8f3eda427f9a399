#include "sim/report/text_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace sparseserve::report {
namespace {

std::string Padded(const std::string& text, std::size_t width, bool to_the_right) {
  return to_the_right ? fmt::format("{:>{}}", text, width) : fmt::format("{:<{}}", text, width);
}

}  // namespace

void AppendTextTable(const std::vector<std::vector<std::string>>& rows, Style style,
                     std::string& out) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const std::vector<std::string>& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  const bool markdown = style == Style::kMarkdown;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line = markdown ? "|" : "  ";
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      line += markdown ? " " + rows[r][c] + " |" : Padded(rows[r][c], widths[c], c > 0) + "  ";
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
    if (r > 0) continue;
    if (markdown) {
      out += "|";
      for (std::size_t c = 0; c < widths.size(); ++c) out += c == 0 ? "---|" : "---:|";
    } else {
      std::size_t width = 0;
      for (const std::size_t w : widths) width += w + 2;
      out += "  " + std::string(width - 2, '-');
    }
    out += "\n";
  }
}

}  // namespace sparseserve::report
