// Writes a stream of requests as a trace file.
#pragma once

#include <cstdint>
#include <string>

#include "sim/core/units.h"
#include "traces/reader.h"
#include "traces/request.h"

namespace sparseserve::traces {

struct WriteOptions {
  Format format = Format::kSparseServe;  // or kMooncake
  // kMooncake: tokens of one entry of hash_ids. Requests carry no content, so each gets ids of its
  // own, as many as its prompt has blocks: the file claims no shared prefixes.
  Tokens mooncake_block_tokens{512};
};

// Reads `source` to its end and writes it to `path`; returns the number of requests. kSparseServe
// keeps times to the nanosecond, kMooncake rounds them to the millisecond.
//
// The file appears under its name complete or not at all: it is written beside it as
// "<path>.tmp.<pid>", flushed to the disk and renamed. Throws std::system_error if the system
// fails, InputError on another format; both leave `path` as it was.
std::int64_t WriteTrace(RequestStream& source, const std::string& path,
                        const WriteOptions& options = {});

}  // namespace sparseserve::traces
