#include "traces/row_parser.h"

#include "traces/fields.h"

namespace sparseserve::traces {
namespace {

// Far above any context length (Mooncake's longest prompt has 126,195 tokens): a larger number is a
// broken row, and sums over a trace stay far from overflow.
constexpr std::int64_t kMaxTokens = 1'000'000'000;
constexpr std::int64_t kMaxArrivalNs = 1'000'000'000'000'000'000;  // 1e9 s

}  // namespace

Tokens ParseTokens(std::string_view text, const SourceLoc& where, std::string_view key) {
  const auto tokens = ParseInteger(text);
  if (tokens && *tokens > 0 && *tokens <= kMaxTokens) return Tokens(*tokens);
  throw BadRow({where, std::string(key),
                Quote(text) + (tokens ? " is out of range" : " is no count"),
                "a whole number of tokens, 1 to 1000000000", ""});
}

std::int64_t ParseArrival(std::string_view text, int decimals, std::string_view unit,
                          const SourceLoc& where, std::string_view key) {
  const auto arrival_ns = ParseScaled(text, decimals);
  if (arrival_ns && *arrival_ns >= 0 && *arrival_ns <= kMaxArrivalNs) return *arrival_ns;
  throw BadRow({where, std::string(key),
                Quote(text) + (arrival_ns ? " is out of range" : " is no time"),
                std::string(unit) + " since the start of the trace, 0 to 1e9 s", ""});
}

}  // namespace sparseserve::traces
