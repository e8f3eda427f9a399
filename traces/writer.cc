#include "traces/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "sim/core/error.h"

namespace sparseserve::traces {
namespace {

[[noreturn]] void ThrowErrno(const std::string& path) {
  throw std::system_error(errno, std::generic_category(), path);
}

// Flushes the entry of a renamed file; a file system that cannot do it is no error.
void SyncDirectoryOf(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const int fd = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

// A file that takes its name in Commit(); without it nothing remains.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path)
      : path_(std::move(path)), temporary_(path_ + ".tmp." + std::to_string(::getpid())) {
    // O_EXCL would make the leftover of a killed process with this id fatal.
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) ThrowErrno(temporary_);
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!committed_) ::unlink(temporary_.c_str());
  }

  void Append(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= kBufferBytes) Flush();
  }

  void Commit() {
    Flush();
    if (::fsync(fd_) != 0 && errno != EINVAL && errno != ENOTSUP) ThrowErrno(temporary_);
    if (::close(std::exchange(fd_, -1)) != 0) ThrowErrno(temporary_);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) ThrowErrno(path_);
    committed_ = true;
    SyncDirectoryOf(path_);
  }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

  void Flush() {
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t written = ::write(fd_, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) ThrowErrno(temporary_);
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    buffer_.clear();
  }

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  bool committed_ = false;
  std::string buffer_;
};

std::string CsvRow(const Request& request) {
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%lld.%09lld",
                static_cast<long long>(request.arrival.ns() / 1'000'000'000),
                static_cast<long long>(request.arrival.ns() % 1'000'000'000));
  return std::string(seconds) + "," + std::to_string(request.prompt.value()) + "," +
         std::to_string(request.output.value()) + "\n";
}

// `next_hash_id` is moved behind the ids of this row.
std::string MooncakeRow(const Request& request, Tokens block_tokens, std::int64_t& next_hash_id) {
  std::string row =
      "{\"timestamp\": " + std::to_string((request.arrival.ns() + 500'000) / 1'000'000) +
      ", \"input_length\": " + std::to_string(request.prompt.value()) +
      ", \"output_length\": " + std::to_string(request.output.value()) + ", \"hash_ids\": [";
  const std::int64_t num_blocks = BlocksFor(request.prompt, block_tokens).value();
  for (std::int64_t i = 0; i < num_blocks; ++i) {
    if (i > 0) row += ", ";
    row += std::to_string(next_hash_id++);
  }
  return row + "]}\n";
}

}  // namespace

std::int64_t WriteTrace(RequestStream& source, const std::string& path,
                        const WriteOptions& options) {
  const bool mooncake = options.format == Format::kMooncake;
  if (!mooncake && options.format != Format::kSparseServe) {
    throw InputError({{},
                      "format",
                      "'" + std::string(NameOf(options.format)) + "' is not written",
                      "sparseserve or mooncake",
                      ""});
  }
  if (options.mooncake_block_tokens <= Tokens(0)) {
    throw InputError({{},
                      "mooncake_block_tokens",
                      std::to_string(options.mooncake_block_tokens.value()),
                      "a positive number of tokens",
                      ""});
  }
  AtomicFile file(path);
  if (!mooncake) file.Append("arrival_s,prompt_tokens,output_tokens\n");
  std::int64_t num_requests = 0;
  std::int64_t next_hash_id = 0;
  while (const auto request = source.Next()) {
    file.Append(mooncake ? MooncakeRow(*request, options.mooncake_block_tokens, next_hash_id)
                         : CsvRow(*request));
    ++num_requests;
  }
  file.Commit();
  return num_requests;
}

}  // namespace sparseserve::traces
