// What a sweep leaves for people and for other programs: effects as a table or as CSV, and the
// plain figures of every point as CSV.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/plan/contrast.h"
#include "sim/plan/crossover.h"
#include "sim/plan/sweep.h"
#include "sim/report/table.h"

namespace sparseserve::report {

// One table per combination of the other axes: the baseline as mean and interval, the others as
// paired effects on it. Explains its signs below.
std::string ContrastTable(const plan::Sweep& sweep, const plan::Contrast& contrast,
                          Style style = Style::kTerminal);

// One line per row and figure:
// axes..., CONTRAST, metric, unit, n, mean, mean_low, mean_high, difference, difference_low,
// difference_high, relative, relative_low, relative_high, saturated, extrapolated
std::string ContrastCsv(const plan::Contrast& contrast);

// One line per point that has run, in the order of the sweep:
// axes..., replication, seed, feasible, note, figures...
std::string PointsCsv(const plan::Sweep& sweep,
                      const std::vector<std::optional<plan::Outcome>>& outcomes);

// A grid per map: how much the contrast's label gains in every cell, and where it starts to pay.
std::string CrossoverText(const plan::Contrast& contrast, const plan::CrossoverMaps& maps,
                          Style style = Style::kTerminal);

// A field of a CSV file, quoted where it has to be (RFC 4180).
std::string CsvField(const std::string& text);

}  // namespace sparseserve::report
