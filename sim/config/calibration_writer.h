// calibration::Record -> the text of calibration/devices/NAME.yaml, in the form of the shipped
// records and sealed with a digest: reading it gives the same record.
#pragma once

#include <string>

#include "calibration/record.h"

namespace sparseserve::config {

// REQUIRES: the record is one that the loader could have given: curves without a fault, ranges that
// are whole or absent, item bytes of whole bytes, measurements in the order of kOperationNames,
// texts without control characters.
std::string WriteCalibration(const calibration::Record& record);

// `text` as a YAML value behind "key:", with the blank or line end before it: on the line if it is
// short, else folded into lines that are indented by `indent`; quoted where folding would change
// it.
std::string YamlText(const std::string& text, std::size_t indent);

}  // namespace sparseserve::config
