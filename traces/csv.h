// A thin RFC 4180 reader: a header line, then records; fields are split by commas and may stand in
// double quotes ("" is a quote, commas and line ends are then part of the field). Accepts LF and
// CRLF, a byte order mark, blank lines (skipped) and a last record without a line end.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "traces/line_reader.h"

namespace sparseserve::traces {

class CsvReader {
 public:
  // Reads the header. Throws InputError if there is none.
  explicit CsvReader(LineReader lines);

  const std::vector<std::string>& header() const { return header_; }
  // Returns the index of a header column, nothing if there is no such column. Throws InputError if
  // the column stands there twice.
  std::optional<std::size_t> Find(std::string_view column) const;
  // The same, and throws InputError if the column is missing.
  std::size_t Require(std::string_view column) const;

  // Reads the next record into fields(); returns false at the end of the file. A record may have
  // another number of fields than the header. Throws InputError on a quote that is not closed.
  bool Next();

  // Fields of the record, blanks around an unquoted field removed; valid until the next Next().
  const std::vector<std::string_view>& fields() const { return fields_; }
  // First line of the record.
  SourceLoc where() const { return {lines_.path(), record_line_, 0}; }

 private:
  bool ReadRecord();
  void Split(std::string_view record);

  LineReader lines_;
  std::vector<std::string> header_;
  int header_line_ = 0;
  int record_line_ = 0;
  std::string joined_;    // a record whose quoted fields span lines
  std::string unquoted_;  // the text of fields that hold doubled quotes
  std::vector<std::string_view> fields_;
};

}  // namespace sparseserve::traces
