#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/report/attribution_json.h"
#include "sim/report/explanation.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;

Json FiniteOrNull(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json WhatIfJson(const WhatIfTable& table) {
  Json rows = Json::array();
  for (const WhatIfRow& row : table.rows) {
    Json changes = Json::object();
    for (std::size_t f = 0; f < row.cells.size(); ++f) {
      if (!row.cells[f]) continue;
      const WhatIfCell& cell = *row.cells[f];
      changes[table.figures[f]] = {{"change", cell.change},
                                   {"low", FiniteOrNull(cell.low)},
                                   {"high", FiniteOrNull(cell.high)},
                                   {"beyond_spread", cell.low > 0 || cell.high < 0}};
    }
    rows.push_back({{"name", row.name},
                    {"failure", row.note.empty() ? Json(nullptr) : Json(row.note)},
                    {"saturated", row.saturated},
                    {"changes", changes}});
  }
  Json base = Json::object();
  for (std::size_t f = 0; f < table.base.size(); ++f)
    if (table.base[f]) base[table.figures[f]] = *table.base[f];
  return {{"seeds", table.num_seeds},
          {"seeds_differ", table.seeds_differ},
          {"confidence", 0.95},
          {"base", base},
          {"base_saturated", table.base_saturated},
          {"rows", rows},
          {"left_out", table.left_out}};
}

}  // namespace

std::string ExplanationJson(const std::string& directory, std::optional<bool> reproduced,
                            const Explanation& e, const WhatIfTable& table) {
  Json json;
  json["schema"] = "sparseserve-explanation/1";
  json["directory"] = directory;
  json["system"] = e.system;
  json["model"] = e.model;
  json["hardware"] = e.hardware;
  json["fidelity"] = e.fidelity;
  json["reproduced"] = reproduced ? Json(*reproduced) : Json(nullptr);
  std::vector<std::string> conclusions = Conclusions(e);
  for (std::string& line : WhatIfConclusions(table)) conclusions.push_back(std::move(line));
  json["conclusions"] = conclusions;
  AddAttribution(e, json);
  json["what_if"] = WhatIfJson(table);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sparseserve::report
