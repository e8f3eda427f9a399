// What a trace format must provide to TraceReader (reader.h): rows, one at a time. Internal to this
// folder; a new format is one function here, one file, and one line in the table of reader.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sim/core/error.h"
#include "sim/core/units.h"
#include "traces/line_reader.h"
#include "traces/reader.h"

namespace sparseserve::traces {

// One row of a trace, its numbers in range, its order not yet checked.
struct Row {
  SourceLoc where;
  std::int64_t arrival_ns = 0;  // since the start of the trace; since 1970 for calendar formats
  Tokens prompt;
  Tokens output;
  bool dropped = false;  // well-formed, but by the rules of the format no request
};

// A row that cannot be used; the parser stands behind it and can go on. Any other InputError is one
// of the whole file.
class BadRow : public InputError {
 public:
  using InputError::InputError;
};

class RowParser {
 public:
  virtual ~RowParser() = default;

  // Returns the next row, nothing at the end. Throws BadRow, or InputError if it cannot go on.
  virtual std::optional<Row> Next() = 0;
  virtual SourceLoc where() const = 0;  // of the last row
};

// JSON lines with timestamp (ms), input_length, output_length, hash_ids.
std::unique_ptr<RowParser> MakeMooncakeParser(LineReader lines, const ReadOptions& options);
// CSV by header names; the four formats are rows of one table.
std::unique_ptr<RowParser> MakeCsvParser(Format format, LineReader lines,
                                         const ReadOptions& options);
// True if the CSV header `line` has the columns of `format`.
bool IsCsvHeaderOf(Format format, std::string_view line);

// A count of tokens, 1 to 1e9. Throws BadRow that names `key`.
Tokens ParseTokens(std::string_view text, const SourceLoc& where, std::string_view key);
// A time of `ns_per_unit` = 10^`decimals` ns from the start of the trace, in [0, 1e9 s], in ns.
// `unit` is for the message. Throws BadRow.
std::int64_t ParseArrival(std::string_view text, int decimals, std::string_view unit,
                          const SourceLoc& where, std::string_view key);

}  // namespace sparseserve::traces
