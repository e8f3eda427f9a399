// Reads a machine file (models/hardware/configs/NAME.yaml) into hardware::Machine, strictly.
#pragma once

#include <string>

#include "models/hardware/hardware.h"
#include "sim/config/yaml_reader.h"

namespace sparseserve::config {

// Throws InputError. `schema`, if any, receives the keys of a machine file.
hardware::Machine LoadMachine(const std::string& path, Schema* schema = nullptr);

}  // namespace sparseserve::config
