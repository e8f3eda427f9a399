// The files that every run leaves, simulated or live.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <boost/program_options.hpp>

#include "sim/config/experiment.h"
#include "sim/serving/simulation.h"

namespace sparseserve::cli {

struct RunFiles {
  std::string directory;
  bool timeline = false;  // also timeline.json
  SimTime timeline_begin, timeline_end;
};

using RunFunction =
    std::function<serving::RunResult(traces::RequestStream& requests, metrics::Collector& collector,
                                     const serving::RunOptions& options)>;

// Calls `run` with the sinks of the result files added to `options`, and leaves summary.json,
// requests.csv, iterations.csv and config.resolved.yaml of the experiment's system `index` in the
// directory, all or none.
serving::RunResult RunAndWrite(const config::Experiment& experiment, std::size_t index,
                               const RunFiles& files, serving::RunOptions options,
                               const RunFunction& run);

// Reads "BEGIN:END" (100s:105s) into the window of the timeline. Throws InputError.
void ParseWindow(const std::string& text, RunFiles& files);

// The experiment on the command line with its overrides and its seed. Warns where its blocks are
// not those that the record's attention was measured with.
config::Experiment LoadExperimentFile(const boost::program_options::variables_map& values,
                                      const std::string& verb, const std::string& hint);
// The same with so many seeds, from its own on.
std::vector<config::Experiment> LoadExperimentSeeds(
    const boost::program_options::variables_map& values, const std::string& verb,
    const std::string& hint, std::int64_t num_seeds);

}  // namespace sparseserve::cli
