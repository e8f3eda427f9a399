// From the name in a configuration to a file: `model: lwm-7b` means models/llm/configs/lwm-7b.json.
//
// A word is a name; a value with a slash, or that ends in .yaml, .yml or .json, is a path, relative
// to the file that contains it. Names may have dots (llama-3.1-8b).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/error.h"

namespace sparseserve::config {

// The models, machines, calibration records and systems that come with the software.
enum class Catalogue : std::uint8_t { kModel, kMachine, kCalibration, kSystem };

// Whether `value` is a path, and not a name of a catalogue.
bool IsPath(const std::string& value);

// The path of the file that `value` names. `data_root` is the directory that holds models/,
// calibration/ and configs/; `where` and `key` say where the value stands. Throws InputError for an
// unknown name, with the known ones; whether a path exists shows when it is read.
std::string ResolveName(Catalogue catalogue, const std::string& value, const std::string& data_root,
                        const SourceLoc& where = {}, const std::string& key = "");

// The names of a catalogue, sorted.
std::vector<std::string> KnownNames(Catalogue catalogue, const std::string& data_root);

}  // namespace sparseserve::config
