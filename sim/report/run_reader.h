// Reads the results that `compare` takes, told apart by their content:
// - the directory of a run (run_directory.h), or its summary.json alone, which knows no iterations;
// - the JSON of vLLM's serving benchmark (`vllm bench serve --save-result`), or of SGLang's, which
//   shares the names; of several results appended to one file, the last;
// - AIPerf's profile_export_aiperf.json. Metrics are mapped by formula, not by name: its
//   inter_token_latency is vLLM's TPOT.
#pragma once

#include <string>

#include "sim/report/run_figures.h"

namespace sparseserve::report {

// Throws InputError naming file and key when the result is torn, wrong, or none of these.
RunFigures ReadRunFigures(const std::string& path);
// Where a path holds no run but folders below it do: "did you mean 'out/vllm'?"; else empty.
std::string RunBelow(const std::string& path);

}  // namespace sparseserve::report
