#include "traces/line_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace sparseserve::traces {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{256} << 10;

struct Magic {
  std::string_view bytes;
  const char* what;
  const char* hint;
};

using std::string_view_literals::operator""sv;
constexpr Magic kNotText[] = {
    {"\x1f\x8b"sv, "the file is compressed (gzip)", "decompress it first: gunzip FILE"},
    {"\x28\xb5\x2f\xfd"sv, "the file is compressed (zstd)", "decompress it first: unzstd FILE"},
    {"PK\x03\x04"sv, "the file is an archive (zip)", "unpack it first: unzip FILE"},
    {"PAR1"sv, "the file is Parquet", "export it as CSV first"},
    {"\xff\xfe"sv, "the file is UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 FILE"},
    {"\xfe\xff"sv, "the file is UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 FILE"},
};

}  // namespace

LineReader::LineReader(std::string path, std::size_t max_line_bytes)
    : path_(std::move(path)),
      max_line_bytes_(max_line_bytes),
      file_(std::fopen(path_.c_str(), "rb")),
      buffer_(kChunkBytes + kPaddingBytes) {
  if (!file_ && (errno == ENOENT || errno == ENOTDIR)) {
    throw InputError({{path_}, "", "no such file", "a trace file", ""});
  }
  if (!file_) throw std::system_error(errno, std::generic_category(), path_);
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);  // buffer_ is the buffer
  Fill();
  CheckStart();
}

// Skips the byte order mark and rejects what is no UTF-8 text.
void LineReader::CheckStart() {
  const std::string_view start(buffer_.data(), end_);
  for (const Magic& magic : kNotText) {
    if (!start.starts_with(magic.bytes)) continue;
    throw InputError({{path_}, "", magic.what, "UTF-8 text", magic.hint});
  }
  if (start.starts_with("\xef\xbb\xbf")) begin_ = 3;
}

// Moves the unread bytes to the front and appends a chunk. Returns false at the end of the file.
bool LineReader::Fill() {
  if (at_end_of_file_) return false;
  if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (end_ + kChunkBytes + kPaddingBytes > buffer_.size()) buffer_.resize(2 * buffer_.size());
  const std::size_t got = std::fread(buffer_.data() + end_, 1, kChunkBytes, file_.get());
  if (got < kChunkBytes && std::ferror(file_.get()) != 0) {
    if (errno == EISDIR) throw InputError({{path_}, "", "is a directory", "a trace file", ""});
    throw std::system_error(errno, std::generic_category(), path_);
  }
  at_end_of_file_ = got == 0;
  end_ += got;
  return got > 0;
}

void LineReader::ThrowTooLong() const {
  throw InputError({{path_, line_ + 1},
                    "",
                    "line longer than " + std::to_string(max_line_bytes_) + " bytes",
                    "one request per line",
                    "check that the file has line ends"});
}

std::optional<std::string_view> LineReader::Peek() {
  if (!peeked_) {
    peeked_ = Next();
    if (peeked_) --line_;
  }
  return peeked_;
}

std::optional<std::string_view> LineReader::Next() {
  if (peeked_) {
    ++line_;
    return std::exchange(peeked_, std::nullopt);
  }
  std::size_t scanned = 0;  // bytes after begin_ known to hold no line end
  const char* newline = nullptr;
  do {
    const std::size_t unread = end_ - begin_;
    const char* from = buffer_.data() + begin_ + scanned;
    newline = static_cast<const char*>(std::memchr(from, '\n', unread - scanned));
    if (newline != nullptr) break;
    scanned = unread;
    if (unread > max_line_bytes_) ThrowTooLong();
  } while (Fill());

  const char* first = buffer_.data() + begin_;
  const char* last = newline != nullptr ? newline : buffer_.data() + end_;
  if (newline == nullptr && first == last) return std::nullopt;
  if (static_cast<std::size_t>(last - first) > max_line_bytes_) ThrowTooLong();
  begin_ = static_cast<std::size_t>(last - buffer_.data()) + (newline != nullptr ? 1 : 0);
  ended_with_newline_ = newline != nullptr;
  ++line_;
  if (last > first && last[-1] == '\r') --last;
  return std::string_view(first, static_cast<std::size_t>(last - first));
}

}  // namespace sparseserve::traces
