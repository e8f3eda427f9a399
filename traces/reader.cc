#include "traces/reader.h"

#include <iterator>
#include <utility>

#include "traces/fields.h"
#include "traces/row_parser.h"

namespace sparseserve::traces {
namespace {

template <Format kFormat>
bool IsCsv(std::string_view first_line) {
  return IsCsvHeaderOf(kFormat, first_line);
}
template <Format kFormat>
std::unique_ptr<RowParser> MakeCsv(LineReader lines, const ReadOptions& options) {
  return MakeCsvParser(kFormat, std::move(lines), options);
}
bool IsJsonObject(std::string_view first_line) { return Trim(first_line).starts_with('{'); }

struct FormatEntry {
  Format format;
  std::string_view name;
  std::string_view first_line;  // for messages
  bool (*matches)(std::string_view first_line);
  std::unique_ptr<RowParser> (*make)(LineReader lines, const ReadOptions& options);
};

constexpr FormatEntry kFormats[] = {
    {Format::kMooncake, "mooncake", "a JSON object", IsJsonObject, MakeMooncakeParser},
    {Format::kAzure, "azure", "TIMESTAMP,ContextTokens,GeneratedTokens", IsCsv<Format::kAzure>,
     MakeCsv<Format::kAzure>},
    {Format::kBurstGpt, "burstgpt", "Timestamp,..,Request tokens,Response tokens,..",
     IsCsv<Format::kBurstGpt>, MakeCsv<Format::kBurstGpt>},
    {Format::kVidur, "vidur", "arrived_at,num_prefill_tokens,num_decode_tokens",
     IsCsv<Format::kVidur>, MakeCsv<Format::kVidur>},
    {Format::kSparseServe, "sparseserve", "arrival_s,prompt_tokens,output_tokens",
     IsCsv<Format::kSparseServe>, MakeCsv<Format::kSparseServe>},
};

const FormatEntry& Detect(LineReader& lines) {
  auto line = lines.Peek();
  while (line && Trim(*line).empty()) {
    lines.Next();
    line = lines.Peek();
  }
  if (!line) throw InputError({{lines.path()}, "", "the file is empty", "a trace", ""});
  for (const FormatEntry& entry : kFormats) {
    if (entry.matches(*line)) return entry;
  }
  std::string known;
  for (const FormatEntry& entry : kFormats) {
    known += (known.empty() ? "" : ", or ") + std::string(entry.first_line) + " (" +
             std::string(entry.name) + ")";
  }
  throw InputError({{lines.path(), lines.line() + 1},
                    "",
                    "no known trace format starts with " + Quote(*line),
                    known,
                    "name the format, or convert the file"});
}

const FormatEntry& EntryOf(Format format) {
  for (const FormatEntry& entry : kFormats) {
    if (entry.format == format) return entry;
  }
  throw InputError({{}, "format", "unknown trace format", "a format with a name", ""});
}

}  // namespace

std::unique_ptr<TraceReader> OpenTrace(const std::string& path, const ReadOptions& options) {
  LineReader lines(path);
  const FormatEntry& entry =
      options.format == Format::kAuto ? Detect(lines) : EntryOf(options.format);
  return std::make_unique<TraceReader>(entry.format, entry.make(std::move(lines), options),
                                       options);
}

std::vector<std::string> FormatNames() {
  std::vector<std::string> names = {"auto"};
  for (const FormatEntry& entry : kFormats) names.emplace_back(entry.name);
  return names;
}

std::optional<Format> FormatByName(std::string_view name) {
  if (name == "auto") return Format::kAuto;
  for (const FormatEntry& entry : kFormats) {
    if (entry.name == name) return entry.format;
  }
  return std::nullopt;
}

std::string_view NameOf(Format format) {
  return format == Format::kAuto ? "auto" : EntryOf(format).name;
}

TraceReader::TraceReader(Format format, std::unique_ptr<RowParser> parser,
                         const ReadOptions& options)
    : format_(format), parser_(std::move(parser)), options_(options) {}

TraceReader::~TraceReader() = default;

std::optional<Request> TraceReader::Next() {
  while (true) {
    try {
      return ReadRow();
    } catch (const BadRow&) {
      if (stats_.bad_rows == options_.max_bad_rows) throw;
      ++stats_.bad_rows;
    }
  }
}

std::optional<Request> TraceReader::ReadRow() {
  std::optional<Row> row = parser_->Next();
  while (row && row->dropped) {
    ++stats_.dropped_rows;
    row = parser_->Next();
  }
  if (!row) {
    if (stats_.rows > 0) return std::nullopt;
    throw InputError({parser_->where(), "", "the trace holds no request", "one or more rows", ""});
  }
  if (!origin_ns_) {
    const bool shift = options_.shift_to_zero || format_ == Format::kAzure;
    origin_ns_ = shift ? row->arrival_ns : 0;
  }
  const SimTime arrival(row->arrival_ns - *origin_ns_);
  if (arrival < last_arrival_) {
    throw BadRow({row->where, "", "arrives before the row of line " + std::to_string(last_line_),
                  "rows in order of arrival", "sort the file by its time column"});
  }
  last_arrival_ = arrival;
  last_line_ = row->where.line;
  return Request{stats_.rows++, arrival, row->prompt, row->output};
}

}  // namespace sparseserve::traces
