// Small random systems and workloads for the comparison with the reference, as choices from short
// lists: the first value of each list is the plainest, so that a failing case shrinks by moving
// every choice towards it and dropping requests.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/serving/system.h"
#include "tests/reference/request.h"

namespace sparseserve::reference {

struct Case {
  std::vector<std::size_t> choices;  // an index into each list
  std::vector<traces::Request> requests;
};

Case RandomCase(std::uint64_t seed);
// The system that the choices stand for, with memory enough for the longest prompt.
SystemConfig ConfigOf(const Case& c);
// One line for the choices that differ from the plainest, one per request.
std::string Describe(const Case& c);
// Smaller cases that still fail, as long as there are any.
Case Shrink(Case failing, const std::function<bool(const Case&)>& fails);

// The same log from the real engine.
Log RunEngine(const SystemConfig& config, const std::vector<traces::Request>& requests);
// The first difference, in words; empty when the logs are equal.
std::string Compare(const Log& expected, const Log& found);

}  // namespace sparseserve::reference
