#include "sim/core/error.h"

#include <algorithm>
#include <numeric>

namespace sparseserve {

std::string ToString(const InputProblem& problem) {
  std::string text = problem.where.file;
  if (problem.where.line > 0) text += ":" + std::to_string(problem.where.line);
  if (problem.where.column > 0) text += ":" + std::to_string(problem.where.column);
  if (!text.empty()) text += ": ";
  if (!problem.key.empty()) text += problem.key + ": ";
  text += problem.what;
  if (!problem.expected.empty()) text += "; expected " + problem.expected;
  if (!problem.hint.empty()) text += "; " + problem.hint;
  return text;
}

std::string ToString(const std::vector<InputProblem>& problems) {
  std::string text;
  for (const InputProblem& problem : problems) {
    if (!text.empty()) text += '\n';
    text += ToString(problem);
  }
  return text;
}

std::size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace sparseserve
