// The `workload` map of an experiment.
#pragma once

#include <cstdint>
#include <string>

#include "sim/config/yaml_reader.h"
#include "traces/workload.h"

namespace sparseserve::config {

// Notes problems in `root`'s reader. A trace path is relative to the file that names it.
void ReadWorkload(MapReader& root, std::uint64_t seed, const std::string& data_root,
                  traces::Workload& workload);

}  // namespace sparseserve::config
