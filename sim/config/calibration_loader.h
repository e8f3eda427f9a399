// calibration/devices/NAME.yaml -> calibration::Record. The form is explained in
// calibration/README.md.
#pragma once

#include <string>

#include "calibration/record.h"
#include "sim/config/yaml_node.h"

namespace sparseserve::config {

// Both throw InputError, with all problems of the file at once.
calibration::Record LoadCalibration(const std::string& path);
calibration::Record ReadCalibration(const Node& root);

}  // namespace sparseserve::config
