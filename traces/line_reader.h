// Reads a text file line by line in chunks, so that memory depends on the longest line and not on
// the file. Understands LF and CRLF, a UTF-8 byte order mark, and a last line without a line end.
#pragma once

#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/error.h"

namespace sparseserve::traces {

class LineReader {
 public:
  static constexpr std::size_t kMaxLineBytes = std::size_t{16} << 20;
  // Bytes behind a returned line that may be read (their value means nothing); simdjson needs 32.
  static constexpr std::size_t kPaddingBytes = 64;

  // Opens `path`. Throws InputError if it is missing, a directory, compressed or not UTF-8 text,
  // std::system_error if the system refuses it.
  explicit LineReader(std::string path, std::size_t max_line_bytes = kMaxLineBytes);

  // Returns the next line without its line end, nothing at the end of the file. The view holds
  // until the next call. Throws InputError if the line is longer than max_line_bytes.
  std::optional<std::string_view> Next();

  // Returns the line that Next() will return, without moving on.
  std::optional<std::string_view> Peek();

  const std::string& path() const { return path_; }
  std::size_t max_line_bytes() const { return max_line_bytes_; }
  int line() const { return line_; }  // number of the last line from Next(), from 1
  SourceLoc where() const { return {path_, line_, 0}; }
  // False only after a last line that the file ends without a line end.
  bool ended_with_newline() const { return ended_with_newline_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  bool Fill();
  void CheckStart();
  [[noreturn]] void ThrowTooLong() const;

  std::string path_;
  std::size_t max_line_bytes_;
  std::unique_ptr<std::FILE, Close> file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // unread bytes are [begin_, end_)
  std::size_t end_ = 0;
  bool at_end_of_file_ = false;
  int line_ = 0;
  bool ended_with_newline_ = true;
  std::optional<std::string_view> peeked_;
};

}  // namespace sparseserve::traces
