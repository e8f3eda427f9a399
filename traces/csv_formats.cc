// The CSV traces: one parser, told by a table which columns to read and how.
#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

#include "sim/core/check.h"
#include "traces/csv.h"
#include "traces/fields.h"
#include "traces/row_parser.h"

namespace sparseserve::traces {
namespace {

enum class TimeColumn : std::uint8_t { kSeconds, kCalendar };

struct Dialect {
  Format format;
  std::string_view arrival;
  std::string_view prompt;
  std::string_view output;
  TimeColumn time;
  bool zero_output_is_failure;           // such rows are dropped
  std::span<const char* const> ignored;  // known columns that strict reading accepts
};

constexpr const char* kBurstGptIgnored[] = {"Session ID", "Elapsed time", "Model", "Total tokens",
                                            "Log Type"};
// Written by Vidur's trace processing (an index without a name, derived columns).
constexpr const char* kVidurIgnored[] = {"", "num_total_tokens", "pd_ratio"};

constexpr Dialect kDialects[] = {
    {Format::kAzure,
     "TIMESTAMP",
     "ContextTokens",
     "GeneratedTokens",
     TimeColumn::kCalendar,
     false,
     {}},
    {Format::kBurstGpt, "Timestamp", "Request tokens", "Response tokens", TimeColumn::kSeconds,
     true, kBurstGptIgnored},
    {Format::kVidur, "arrived_at", "num_prefill_tokens", "num_decode_tokens", TimeColumn::kSeconds,
     false, kVidurIgnored},
    {Format::kSparseServe,
     "arrival_s",
     "prompt_tokens",
     "output_tokens",
     TimeColumn::kSeconds,
     false,
     {}},
};

const Dialect& DialectOf(Format format) {
  const auto* found = std::find_if(std::begin(kDialects), std::end(kDialects),
                                   [&](const Dialect& d) { return d.format == format; });
  SPARSESERVE_CHECK(found != std::end(kDialects), "no CSV format");
  return *found;
}

class CsvParser : public RowParser {
 public:
  CsvParser(const Dialect& dialect, LineReader lines, bool strict)
      : dialect_(dialect),
        csv_(std::move(lines)),
        arrival_(csv_.Require(dialect.arrival)),
        prompt_(csv_.Require(dialect.prompt)),
        output_(csv_.Require(dialect.output)) {
    if (strict) CheckNoUnknownColumn();
  }

  std::optional<Row> Next() override {
    if (!csv_.Next()) return std::nullopt;
    const auto& fields = csv_.fields();
    const SourceLoc where = csv_.where();
    if (fields.size() != csv_.header().size()) {
      throw BadRow({where, "", "row has " + std::to_string(fields.size()) + " columns",
                    std::to_string(csv_.header().size()) + " as in the header", ""});
    }
    Row row;
    row.where = where;
    row.arrival_ns = Arrival(fields[arrival_]);
    if (dialect_.zero_output_is_failure && ParseInteger(fields[output_]) == 0) {
      row.dropped = true;
      return row;
    }
    row.prompt = ParseTokens(fields[prompt_], where, dialect_.prompt);
    row.output = ParseTokens(fields[output_], where, dialect_.output);
    return row;
  }

  SourceLoc where() const override { return csv_.where(); }

 private:
  std::int64_t Arrival(std::string_view text) const {
    if (dialect_.time == TimeColumn::kSeconds) {
      return ParseArrival(text, 9, "seconds", csv_.where(), dialect_.arrival);
    }
    if (const auto ns = ParseTimestamp(text)) return *ns;
    throw BadRow({csv_.where(), std::string(dialect_.arrival), Quote(text) + " is no time",
                  "YYYY-MM-DD HH:MM:SS[.fraction][+HH:MM]", ""});
  }

  void CheckNoUnknownColumn() const {
    for (const std::string& column : csv_.header()) {
      if (column == dialect_.arrival || column == dialect_.prompt || column == dialect_.output ||
          std::find(dialect_.ignored.begin(), dialect_.ignored.end(), column) !=
              dialect_.ignored.end()) {
        continue;
      }
      throw InputError({csv_.where(), column, "unknown column", "only columns of the format",
                        "read it without strict"});
    }
  }

  const Dialect& dialect_;
  CsvReader csv_;
  std::size_t arrival_;
  std::size_t prompt_;
  std::size_t output_;
};

}  // namespace

bool IsCsvHeaderOf(Format format, std::string_view line) {
  const Dialect& dialect = DialectOf(format);
  std::array<bool, 3> found{};
  while (true) {
    const std::size_t comma = std::min(line.find(','), line.size());
    std::string_view column = Trim(line.substr(0, comma));
    if (column.size() >= 2 && column.front() == '"' && column.back() == '"') {
      column = column.substr(1, column.size() - 2);
    }
    found[0] |= column == dialect.arrival;
    found[1] |= column == dialect.prompt;
    found[2] |= column == dialect.output;
    if (comma == line.size()) break;
    line.remove_prefix(comma + 1);
  }
  return found[0] && found[1] && found[2];
}

std::unique_ptr<RowParser> MakeCsvParser(Format format, LineReader lines,
                                         const ReadOptions& options) {
  return std::make_unique<CsvParser>(DialectOf(format), std::move(lines), options.strict);
}

}  // namespace sparseserve::traces
