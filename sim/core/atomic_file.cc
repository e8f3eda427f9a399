#include "sim/core/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "sim/core/check.h"

namespace sparseserve {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

[[noreturn]] void ThrowErrno(const std::string& path) {
  throw std::system_error(errno, std::generic_category(), path);
}

// A pipe, a device or some file systems cannot be synchronised; that is no failure.
bool SyncFailed(int fd) { return ::fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP; }

// Makes the new name survive a crash.
void SyncDirectoryOf(const std::string& path) {
  std::string parent = std::filesystem::path(path).parent_path().string();
  if (parent.empty()) parent = ".";
  const int fd = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) ThrowErrno(parent);
  const int error = SyncFailed(fd) ? errno : 0;
  ::close(fd);
  if (error != 0) throw std::system_error(error, std::generic_category(), parent);
}

}  // namespace

AtomicFile::AtomicFile(std::string path)
    : path_(std::move(path)), temporary_(path_ + ".tmp." + std::to_string(::getpid())) {
  buffer_.reserve(kBufferBytes);
  // Without O_EXCL: the leftover of a killed process with this id is overwritten.
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) ThrowErrno(path_);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::Append(std::string_view text) {
  SPARSESERVE_CHECK(fd_ >= 0, "text after the end of the file");
  if (buffer_.size() + text.size() > kBufferBytes) Flush();
  buffer_ += text;
}

void AtomicFile::Flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ThrowErrno(path_);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
}

void AtomicFile::Seal() {
  if (fd_ < 0) return;
  Flush();
  if (SyncFailed(fd_)) ThrowErrno(path_);
  if (::close(std::exchange(fd_, -1)) != 0) ThrowErrno(path_);
}

void AtomicFile::Commit() {
  Seal();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) ThrowErrno(path_);
  committed_ = true;
  SyncDirectoryOf(path_);
}

void MakeOutputDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw std::system_error(error, path + ": cannot be made (--out names another place)");
}

}  // namespace sparseserve
