// Digests of what decides a result: XXH3, 128 bits, as 32 hexadecimal digits. For recognising equal
// inputs, not for security. (A calibration record carries a digest of its own text:
// calibration_loader.h.)
#pragma once

#include <map>
#include <string>

#include "sim/config/experiment.h"

namespace sparseserve::config {

// Digests of files, each read once. A file that changes meanwhile keeps its first digest.
class FileDigests {
 public:
  // Throws InputError for a file that cannot be read.
  const std::string& Of(const std::string& path);

 private:
  std::map<std::string, std::string> digests_;
};

// The key of one system of an experiment: equal keys, equal results. It covers every value in
// force, the content of every file that the experiment names (not where these lie), and `build`,
// the digest of the program.
std::string PointKey(const Experiment& experiment, std::size_t system_index,
                     const std::string& build, FileDigests& files);

}  // namespace sparseserve::config
