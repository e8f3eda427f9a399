#include "traces/writer.h"

#include <cstdio>

#include "sim/core/atomic_file.h"
#include "sim/core/error.h"

namespace sparseserve::traces {
namespace {

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
