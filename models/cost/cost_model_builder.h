// Turns a model, a machine and a record into the numbers and operations of a CostModel. Private to
// models/cost.
#pragma once

#include <string>
#include <string_view>

#include "models/cost/cost_model.h"

namespace sparseserve::cost {

class CostModel::Builder {
 public:
  Builder(CostModel& cost, const hardware::Machine& machine, const calibration::Record& record,
          CostConfig config)
      : cost_(cost),
        machine_(machine),
        record_(record),
        config_(config),
        activation_bytes_(static_cast<double>(llm::ActivationElementBytes(cost.model_))) {}

  void CheckConfig() const;
  void BuildCompute();
  void BuildLayers();
  void BuildElementwise();  // after the layers
  void BuildAttention();
  void BuildTransfers();
  void BuildHost();

 private:
  using ValueMap = std::map<std::string, calibration::Value, std::less<>>;
  // The value at map.name, noted as used; throws InputError if the record lacks it.
  double Get(const ValueMap& map, std::string_view map_name, std::string_view name);
  double Efficiency(std::string_view name) {
    return Get(record_.efficiencies, "efficiencies", name);
  }
  const calibration::Curve* FindCurve(std::string_view name);
  // The curve of `name`, which the record must have.
  Operation Required(std::string_view name, Limits floor);
  // The curve of `name` if there is one, else a roofline with the named efficiencies; an empty name
  // leaves that limit out.
  Operation CurveOrRoofline(std::string_view name, double kernels, Limits peak,
                            std::string_view compute_efficiency,
                            std::string_view memory_efficiency);
  void Note(std::string_view name, const calibration::Source& source);
  [[noreturn]] void Fail(std::string key, std::string what, std::string expected) const;

  void BuildScatter();
  Mlp BuildMlp(std::int64_t layer) const;
  double OutputWidth() const;      // elements of the attention output of a token, all heads
  double ProjectionWidth() const;  // of its queries, keys and values

  CostModel& cost_;
  const hardware::Machine& machine_;
  const calibration::Record& record_;
  CostConfig config_;
  double activation_bytes_;  // of one element
};

}  // namespace sparseserve::cost
