// A file that appears under its name complete or not at all.
//
// It is written beside its place as "<path>.tmp.<pid>", flushed to the disk and renamed. Until then
// whatever stood at `path` stays as it was, and when the object dies uncommitted nothing remains.
// Every step is checked; all failures are std::system_error that names the path.
#pragma once

#include <string>
#include <string_view>

namespace sparseserve {

class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  // Buffered. REQUIRES: not sealed.
  void Append(std::string_view text);
  // Puts everything onto the disk and closes the temporary file: what can fail for lack of space
  // fails here. Several files can be sealed before the first takes its name.
  void Seal();
  // Seals if that is still to do, and takes the name.
  void Commit();

  const std::string& path() const { return path_; }

 private:
  void Flush();

  std::string path_;
  std::string temporary_;
  std::string buffer_;
  int fd_ = -1;
  bool committed_ = false;
};

// Makes a directory for results with its parents. Throws std::system_error that names it and --out.
void MakeOutputDirectory(const std::string& path);

}  // namespace sparseserve
