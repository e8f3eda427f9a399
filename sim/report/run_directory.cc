#include "sim/report/run_directory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace sparseserve::report {
namespace {

constexpr std::array kResultFiles = {kSummaryFile, kRequestsFile, kIterationsFile,
                                     kConfigFile,  kTimelineFile, kHtmlFile};

}  // namespace

RunDirectory::RunDirectory(std::string path) : path_(std::move(path)) {
  MakeOutputDirectory(path_);
}

std::string RunDirectory::PathOf(std::string_view name) const {
  return (std::filesystem::path(path_) / name).string();
}

AtomicFile& RunDirectory::Stage(std::string_view name) { return files_.emplace_back(PathOf(name)); }

void RunDirectory::Commit() {
  for (AtomicFile& file : files_) file.Seal();

  // The old summary goes first, so that it never stands beside files of the new run.
  for (const std::string_view name : kResultFiles) {
    const std::string path = PathOf(name);
    const bool replaced = name != kSummaryFile &&
                          std::any_of(files_.begin(), files_.end(),
                                      [&](const AtomicFile& file) { return file.path() == path; });
    if (!replaced && ::unlink(path.c_str()) != 0 && errno != ENOENT)
      throw std::system_error(errno, std::generic_category(), path);
  }
  const std::string summary = PathOf(kSummaryFile);
  for (AtomicFile& file : files_)
    if (file.path() != summary) file.Commit();
  for (AtomicFile& file : files_)
    if (file.path() == summary) file.Commit();
}

}  // namespace sparseserve::report
