// calibration/devices/NAME.yaml -> calibration::Record. The form is explained in
// calibration/README.md.
//
// A record that was written by the software carries a digest of the text that follows it, so that
// one that was torn or edited is refused and not half believed. A record without one is taken as it
// stands.
#pragma once

#include <string>
#include <string_view>

#include "calibration/record.h"
#include "models/hardware/hardware.h"

namespace sparseserve::config {

// What the line of `digest` holds for the text behind it: 16 hexadecimal digits.
std::string DigestOf(std::string_view text);

// Both throw InputError, with all problems of the file at once. `name` is what messages call it.
calibration::Record LoadCalibration(const std::string& path);
calibration::Record ReadCalibration(std::string_view text, const std::string& name);

// Throws InputError, without a place, unless the record is for that machine: it says so (its
// `machine`, or else its own name), or the machine's file names it.
void CheckMachine(const calibration::Record& record, const hardware::Machine& machine);

}  // namespace sparseserve::config
