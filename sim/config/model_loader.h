// Reads a model file into llm::Architecture: NAME.json is a Hugging Face config.json, NAME.yaml has
// our own keys (the fields of Architecture).
//
// A config.json is a foreign format: unknown keys are fine, the needed ones are strict. What it
// states and the software does not model (sliding windows, linear attention, alternating MoE) is an
// error. models/llm/README.md says what is derived when a key is absent.
#pragma once

#include <string>

#include "models/llm/architecture.h"
#include "sim/config/yaml_reader.h"

namespace sparseserve::config {

// Throws InputError. `schema`, if any, receives the keys of a YAML model file.
llm::Architecture LoadModel(const std::string& path, Schema* schema = nullptr);

// The JSON half. Throws InputError.
llm::Architecture LoadHuggingFaceConfig(const std::string& path);

}  // namespace sparseserve::config
