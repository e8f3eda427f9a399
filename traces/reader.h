// Opens a workload trace of any known format as a stream of requests.
//
// Rows are read, checked and handed out one at a time: memory does not depend on the length of the
// file. Columns, units and quirks of the formats: README.md of this folder.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"
#include "traces/request.h"

namespace sparseserve::traces {

enum class Format : std::uint8_t {
  kAuto,         // recognised by the first line of the file
  kMooncake,     // JSON lines of Mooncake (FAST '25)
  kAzure,        // CSV of AzurePublicDataset, 2023 and 2024
  kBurstGpt,     // CSV of BurstGPT, 8 or 6 columns
  kVidur,        // CSV of Vidur
  kSparseServe,  // CSV arrival_s,prompt_tokens,output_tokens
};

struct ReadOptions {
  Format format = Format::kAuto;
  // Prompt tokens of one entry of hash_ids. The file does not say it; every row is checked against
  // ceil(input_length / block) == number of hash_ids.
  Tokens mooncake_block_tokens{512};
  // Bad rows to skip and count before the next one is an error. A last line that is cut off is an
  // error always.
  std::int64_t max_bad_rows = 0;
  // Also rejects unknown columns or keys, repeated JSON keys and missing hash_ids.
  bool strict = false;
  // Makes the first request arrive at 0, for slices of a longer trace. Azure always starts at 0.
  bool shift_to_zero = false;
};

struct ReadStats {
  std::int64_t rows = 0;          // handed out as requests
  std::int64_t dropped_rows = 0;  // no requests by the rules of the format (failed in BurstGPT)
  std::int64_t bad_rows = 0;      // malformed, skipped as max_bad_rows allows
};

class RowParser;

// A trace file as a stream. Next() throws InputError on a bad row, on rows out of time order, and
// at the end of a file without a single request.
class TraceReader : public RequestStream {
 public:
  TraceReader(Format format, std::unique_ptr<RowParser> parser, const ReadOptions& options);
  ~TraceReader() override;

  std::optional<Request> Next() override;
  const ReadStats& stats() const { return stats_; }
  Format format() const { return format_; }  // never kAuto

 private:
  std::optional<Request> ReadRow();

  Format format_;
  std::unique_ptr<RowParser> parser_;
  ReadOptions options_;
  ReadStats stats_;
  std::optional<std::int64_t> origin_ns_;  // time of the first row, where times are shifted
  SimTime last_arrival_;
  int last_line_ = 0;
};

// Opens `path`. Throws InputError if there is no such file or its format is not known,
// std::system_error if it cannot be read.
std::unique_ptr<TraceReader> OpenTrace(const std::string& path, const ReadOptions& options = {});

// The names of the formats, "auto" first, as a configuration writes them.
std::vector<std::string> FormatNames();
std::optional<Format> FormatByName(std::string_view name);
std::string_view NameOf(Format format);

}  // namespace sparseserve::traces
