// A machine file for a machine that was measured and has no data sheet: a CPU that plays the GPU.
#pragma once

#include <string>

#include "calibration/record.h"
#include "calibration/record_fit.h"
#include "models/hardware/hardware.h"

namespace sparseserve::config {

// The machine that `record` is for, made of the record's ceilings: its peaks are the best that was
// seen, so that it cuts no measured time. Named as the record says; it has one GPU, which is the
// device. A CPU is its own host: half of its memory counts as HBM, the other half as DRAM.
// `calibration`: name or path of the record, as the machine file should give it. Throws InputError
// if a ceiling is missing.
hardware::Machine DeriveMachine(const calibration::Record& record, const calibration::Peaks& peaks,
                                const std::string& calibration);

// The text of models/hardware/configs/NAME.yaml; LoadMachine gives the same machine back.
std::string WriteMachine(const hardware::Machine& machine);

}  // namespace sparseserve::config
