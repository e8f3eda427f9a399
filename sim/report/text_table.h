// Plain tables of text: the first row is the head, the first column is set to the left.
#pragma once

#include <string>
#include <vector>

#include "sim/report/table.h"

namespace sparseserve::report {

// Appends the rows, which have equal numbers of cells. REQUIRES: !rows.empty().
void AppendTextTable(const std::vector<std::vector<std::string>>& rows, Style style,
                     std::string& out);

}  // namespace sparseserve::report
