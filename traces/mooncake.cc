// Mooncake's JSON lines with simdjson's On-Demand parser, one line at a time.
//
// iterate_many() of simdjson 3.0 drops a last document that is cut off without an error (only
// truncated_bytes() shows it). Here each line is a document of its own, so such a line fails to
// parse like any other, and is told apart by its missing line end.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "traces/fields.h"
#include "traces/row_parser.h"

namespace sparseserve::traces {
namespace {

static_assert(LineReader::kPaddingBytes >= simdjson::SIMDJSON_PADDING);

namespace ondemand = simdjson::ondemand;

enum Key : std::uint8_t { kTimestamp, kInputLength, kOutputLength, kHashIds, kNumKeys };
constexpr std::array<std::string_view, kNumKeys> kKeyNames = {"timestamp", "input_length",
                                                              "output_length", "hash_ids"};

Key KeyOf(std::string_view name) {
  return static_cast<Key>(std::find(kKeyNames.begin(), kKeyNames.end(), name) - kKeyNames.begin());
}

// The block sizes in [smallest, largest] that give every row read so far its number of hash_ids.
struct BlockSizes {
  std::int64_t smallest = 1;
  std::int64_t largest = std::numeric_limits<std::int64_t>::max();

  // ceil(tokens / size) == num_blocks for exactly the sizes of the result.
  BlockSizes And(std::int64_t tokens, std::int64_t num_blocks) const {
    if (num_blocks == 0) return {1, 0};
    const std::int64_t low = CeilDiv(tokens, num_blocks);
    const std::int64_t high = num_blocks == 1 ? largest : (tokens - 1) / (num_blocks - 1);
    return {std::max(smallest, low), std::min(largest, high)};
  }
  // The power of two if one fits, else the smallest; 0 if none fits.
  std::int64_t Best() const {
    if (smallest > largest) return 0;
    std::int64_t power = 1;
    while (power < smallest) power *= 2;
    return power <= largest ? power : smallest;
  }
};

class MooncakeParser : public RowParser {
 public:
  MooncakeParser(LineReader lines, const ReadOptions& options)
      : lines_(std::move(lines)),
        block_tokens_(options.mooncake_block_tokens.value()),
        strict_(options.strict) {
    if (block_tokens_ > 0) return;
    throw InputError({{},
                      "mooncake_block_tokens",
                      std::to_string(block_tokens_),
                      "a positive number of tokens",
                      "512 for Mooncake's own files"});
  }

  std::optional<Row> Next() override {
    auto line = lines_.Next();
    while (line && Trim(*line).empty()) line = lines_.Next();
    if (!line) return std::nullopt;
    try {
      return ParseLine(*line);
    } catch (const simdjson::simdjson_error& error) {
      if (!lines_.ended_with_newline()) {
        throw InputError({where(), "", "the last line is cut off: no line end, and not valid JSON",
                          "a whole JSON object", "copy the file again, or delete the line"});
      }
      throw BadRow({where(), "", std::string("not valid JSON: ") + error.what(),
                    "one JSON object per line", ""});
    }
  }

  SourceLoc where() const override { return lines_.where(); }

 private:
  Row ParseLine(std::string_view line) {
    ondemand::document document =
        parser_.iterate(line.data(), line.size(), line.size() + LineReader::kPaddingBytes);
    Row row;
    row.where = where();
    std::array<bool, kNumKeys> seen{};
    std::int64_t num_hash_ids = 0;
    for (ondemand::field field : document.get_object()) {
      const std::string_view name = field.unescaped_key();
      const Key key = KeyOf(name);
      if (key == kNumKeys && strict_) {
        throw BadRow({where(), std::string(name), "unknown key", KnownKeys(), ""});
      }
      if (key == kNumKeys) continue;
      if (seen[key]) {  // the first one counts
        if (strict_) throw BadRow({where(), std::string(name), "key stands twice", "once", ""});
        continue;
      }
      seen[key] = true;
      if (key == kHashIds) {
        num_hash_ids = CountHashIds(field.value());
      } else {
        ReadNumber(key, Trim(field.value().raw_json_token()), row);
      }
    }
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
      throw BadRow({where(), "", "text after the JSON object", "one JSON object per line", ""});
    }
    CheckComplete(seen);
    if (seen[kHashIds]) CheckBlocks(row.prompt.value(), num_hash_ids);
    return row;
  }

  void ReadNumber(Key key, std::string_view text, Row& row) const {
    if (key == kTimestamp) {
      row.arrival_ns = ParseArrival(text, 6, "milliseconds", where(), kKeyNames[key]);
    } else {
      (key == kInputLength ? row.prompt : row.output) = ParseTokens(text, where(), kKeyNames[key]);
    }
  }

  std::int64_t CountHashIds(ondemand::value value) const {
    ondemand::array ids;
    if (value.get_array().get(ids) != simdjson::SUCCESS) {
      throw BadRow({where(), "hash_ids", Quote(Trim(value.raw_json_token())) + " is no list",
                    "a list of block ids", ""});
    }
    std::int64_t count = 0;
    for (auto id : ids) {
      const std::string_view text = Trim(id.value().raw_json_token());
      const auto number = ParseInteger(text);
      if (!number || *number < 0) {
        throw BadRow(
            {where(), "hash_ids", Quote(text) + " is no block id", "whole numbers from 0", ""});
      }
      ++count;
    }
    return count;
  }

  void CheckComplete(const std::array<bool, kNumKeys>& seen) const {
    for (std::size_t key = 0; key < kNumKeys; ++key) {
      if (seen[key] || (key == kHashIds && !strict_)) continue;
      throw BadRow({where(), std::string(kKeyNames[key]), "key is missing", KnownKeys(), ""});
    }
  }

  void CheckBlocks(std::int64_t tokens, std::int64_t num_hash_ids) {
    const BlockSizes fitting = fitting_.And(tokens, num_hash_ids);
    const std::int64_t num_blocks = CeilDiv(tokens, block_tokens_);
    if (num_blocks == num_hash_ids) {
      fitting_ = fitting;
      return;
    }
    const std::int64_t best = fitting.Best();
    throw BadRow(
        {where(), "hash_ids",
         std::to_string(num_hash_ids) + " ids for " + std::to_string(tokens) + " input tokens",
         std::to_string(num_blocks) + " with blocks of " + std::to_string(block_tokens_) +
             " tokens",
         best == 0 ? "no block size fits all rows up to here"
                   : "a block of " + std::to_string(best) +
                         " tokens fits all rows up to here: set mooncake_block_tokens"});
  }

  static std::string KnownKeys() { return "timestamp, input_length, output_length, hash_ids"; }

  LineReader lines_;
  std::int64_t block_tokens_;
  bool strict_;
  BlockSizes fitting_;
  ondemand::parser parser_;
};

}  // namespace

std::unique_ptr<RowParser> MakeMooncakeParser(LineReader lines, const ReadOptions& options) {
  return std::make_unique<MooncakeParser>(std::move(lines), options);
}

}  // namespace sparseserve::traces
