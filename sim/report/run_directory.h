// The directory of results of one run. A run that fails leaves the results of an earlier one as
// they were; a run that succeeds replaces them all.
//
// Files are staged while the run goes on and take their names together at the end, summary.json
// last: where it stands, the files beside it are complete and of the same run.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "sim/core/atomic_file.h"

namespace sparseserve::report {

inline constexpr std::string_view kSummaryFile = "summary.json";
inline constexpr std::string_view kRequestsFile = "requests.csv";
inline constexpr std::string_view kIterationsFile = "iterations.csv";
inline constexpr std::string_view kConfigFile = "config.resolved.yaml";
inline constexpr std::string_view kTimelineFile = "timeline.json";
inline constexpr std::string_view kHtmlFile = "report.html";

class RunDirectory {
 public:
  // Creates the directory and its parents. Throws std::system_error naming the path.
  explicit RunDirectory(std::string path);

  // Begins the file `name`. The reference stays valid as long as this object.
  AtomicFile& Stage(std::string_view name);
  // Begins the file and writes it in one go.
  void Stage(std::string_view name, std::string_view text) { Stage(name).Append(text); }

  // Seals all files, then removes result files of an earlier run and gives the new ones their
  // names. Files with names other than those above are left alone.
  void Commit();

  const std::string& path() const { return path_; }

 private:
  std::string PathOf(std::string_view name) const;

  std::string path_;
  std::deque<AtomicFile> files_;
};

}  // namespace sparseserve::report
