// The verbs of the command line, and what they share.
#pragma once

#include <string>
#include <vector>

#include <boost/program_options.hpp>

namespace sparseserve::cli {

// Exit codes are part of the contract: others script against them.
enum ExitCode : int {
  kDone = 0,
  kOurFault = 1,
  kBadInput = 2,
  kInfeasible = 3,
  kToleranceExceeded = 4,
  kInterrupted = 130  // by Ctrl-C, as shells count it; what was finished is kept
};

using Arguments = std::vector<std::string>;  // behind the verb

int Simulate(const Arguments& arguments);
int Live(const Arguments& arguments);
int Trace(const Arguments& arguments);
int Model(const Arguments& arguments);
int Compare(const Arguments& arguments);
int Explain(const Arguments& arguments);
int Calibrate(const Arguments& arguments);
int Sweep(const Arguments& arguments);
int Plan(const Arguments& arguments);
int Report(const Arguments& arguments);

// Parses without guessing abbreviations, so that a new option never changes what an old script
// means. `positional` names the options that bare words fill, in order; "name..." takes all the
// others. Throws InputError.
boost::program_options::variables_map Parse(
    const Arguments& arguments, const boost::program_options::options_description& options,
    const std::vector<std::string>& positional, const std::string& verb);

// `value` as an integer in [min, max]: Program_options would wrap a negative number silently.
std::int64_t ParseInteger(const std::string& value, const std::string& option, std::int64_t min,
                          std::int64_t max);

// The directory that holds configs/, models/ and calibration/: `given`, else the working directory
// if it has them, else ../share/sparseserve beside the binary (where it is installed), else the
// source tree it was built from. Throws InputError if none has them.
std::string FindDataRoot(const std::string& given);

// --help and --data, the options every verb has; a verb adds its own.
boost::program_options::options_description CommonOptions();
// A text option whose value the help calls `shown`, and one that may be given several times.
boost::program_options::typed_value<std::string>* Text(const char* shown, const char* value = "");
boost::program_options::typed_value<std::vector<std::string>>* Texts(const char* shown);

}  // namespace sparseserve::cli
