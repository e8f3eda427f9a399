// Where one thing starts to pay: the sign of an effect over two axes of a sweep.
//
// For each label of the contrast axis a map: its effect against the baseline in every cell, and in
// each row the place between two columns where the effect begins to pay or ceases to. Between
// columns with numbers the place is interpolated (linearly in the effect, in the logarithm of the
// number): a reading aid, exact only at the columns.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/plan/contrast.h"

namespace sparseserve::plan {

struct CrossoverCell {
  std::optional<Interval> relative;  // effect on the baseline's mean
  bool only_baseline = false;        // the other one cannot run here
  bool only_other = false;           // the baseline cannot run here: paying is not a question
};

struct Crossover {
  double at = 0;               // in the unit of the labels
  std::string from, to;        // the columns around it
  bool starts_to_pay = false;  // towards larger columns; else it ceases to
};

struct CrossoverRow {
  std::string label;
  std::vector<CrossoverCell> cells;
  std::vector<Crossover> crossovers;
};

struct CrossoverMap {
  std::string label;                // of the contrast axis
  std::vector<std::string> others;  // labels of the axes that are neither
  std::vector<CrossoverRow> rows;
};

struct CrossoverMaps {
  std::string x_axis, y_axis;
  std::vector<std::string> columns;
  std::size_t figure = 0;
  std::vector<CrossoverMap> maps;
};

// The maps of the contrast's first metric. Throws InputError for axes that the contrast does not
// have beside its own.
CrossoverMaps MakeCrossoverMaps(const Contrast& contrast, const std::string& x_axis,
                                const std::string& y_axis);

// The number that a label begins with: "0.2/s" is 0.2, "8 GiB" is 8. Nothing for a word.
std::optional<double> NumberOf(const std::string& label);

}  // namespace sparseserve::plan
