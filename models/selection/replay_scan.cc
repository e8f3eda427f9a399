// The part of ReplayModel that opens a trace: every byte is read and checked once.
#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

#include "models/selection/replay_model.h"
#include "models/selection/trace_codec.h"
#include "sim/core/error.h"
#include "sim/core/hash.h"

namespace sparseserve::selection {
namespace {

std::string Describe(const TraceGeometry& geometry) {
  return std::to_string(geometry.num_layers) + " layers, " + std::to_string(geometry.heads) +
         " heads, blocks of " + std::to_string(geometry.block_tokens) + " tokens";
}

void ReadBytes(std::ifstream& file, const std::string& path, std::uint64_t offset,
               std::size_t num_bytes, std::string& bytes) {
  bytes.resize(num_bytes);
  errno = 0;
  file.clear();
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(bytes.data(), static_cast<std::streamsize>(num_bytes));
  if (!file)
    throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(),
                            "cannot read " + path);
}

}  // namespace

void ReplayModel::Scan() {
  ScanHeader();
  std::uint64_t total_steps = 0;
  std::string payload;
  Chunk chunk;
  for (chunk.offset = codec::kHeaderBytes;;
       chunk.offset += codec::kChunkHeaderBytes + chunk.payload_bytes) {
    const std::uint32_t kind = ReadChunk(chunk, payload);
    const codec::Reader reader(payload, path_, chunk.offset + codec::kChunkHeaderBytes);
    if (kind == codec::kEndChunk) {
      ScanEnd(reader, total_steps);
      break;
    }
    total_steps += ScanSteps(reader, chunk);
  }
  const std::uint64_t end = chunk.offset + codec::kChunkHeaderBytes + chunk.payload_bytes;
  if (end != file_bytes_)
    codec::Reader("", path_, end)
        .Fail(std::to_string(file_bytes_ - end) + " bytes after the end chunk", "nothing");

  for (std::size_t i = 0; i < recordings_.size(); ++i) by_key_.push_back(i);
  std::stable_sort(by_key_.begin(), by_key_.end(), [this](std::size_t a, std::size_t b) {
    return std::pair(recordings_[a].key, recordings_[a].prompt_blocks) <
           std::pair(recordings_[b].key, recordings_[b].prompt_blocks);
  });
}

void ReplayModel::ScanHeader() {
  std::string bytes;
  ReadBytes(file_, path_, 0, std::min<std::uint64_t>(codec::kHeaderBytes, file_bytes_), bytes);
  codec::Reader reader(bytes, path_, 0);
  if (!bytes.starts_with(codec::kMagic))
    reader.Fail("this is no selection trace", std::string(codec::kMagic));
  reader.Skip(codec::kMagic.size());
  codec::Reader at_version = reader;
  const std::uint64_t version = reader.Fixed(4);
  if (version != codec::kVersion)
    at_version.Fail("version " + std::to_string(version), std::to_string(codec::kVersion));
  codec::Reader at_geometry = reader;
  TraceGeometry found;
  found.num_layers = static_cast<std::int64_t>(reader.Fixed(4));
  found.heads = static_cast<std::int64_t>(reader.Fixed(4));
  found.block_tokens = static_cast<std::int64_t>(reader.Fixed(4));
  codec::Reader at_checksum = reader;
  if (reader.Fixed(8) != HashBytes(bytes.substr(0, at_checksum.position())))
    at_checksum.Fail("the checksum of the header is wrong", "an undamaged file");
  if (found != geometry_) at_geometry.Fail("recorded for " + Describe(found), Describe(geometry_));
}

std::uint32_t ReplayModel::ReadChunk(Chunk& chunk, std::string& payload) {
  std::string header;
  const std::uint64_t left = file_bytes_ - chunk.offset;
  ReadBytes(file_, path_, chunk.offset, std::min<std::uint64_t>(codec::kChunkHeaderBytes, left),
            header);
  codec::Reader reader(header, path_, chunk.offset);
  const auto kind = static_cast<std::uint32_t>(reader.Fixed(4));
  codec::Reader at_length = reader;
  const std::uint64_t length = reader.Fixed(4);
  codec::Reader at_checksum = reader;
  const std::uint64_t checksum = reader.Fixed(8);
  if (kind != codec::kStepsChunk && kind != codec::kEndChunk)
    codec::Reader("", path_, chunk.offset)
        .Fail("unknown chunk kind " + std::to_string(kind), "1 (steps) or 2 (end)");
  if (length > codec::kMaxChunkBytes || length > left - codec::kChunkHeaderBytes)
    at_length.Fail("a chunk of " + std::to_string(length) + " bytes",
                   "at most " + std::to_string(codec::kMaxChunkBytes) + ", within the file");
  chunk.payload_bytes = static_cast<std::uint32_t>(length);
  ReadBytes(file_, path_, chunk.offset + codec::kChunkHeaderBytes, length, payload);
  if (checksum != codec::ChunkChecksum(kind, payload))
    at_checksum.Fail("the checksum of the chunk is wrong", "an undamaged file");
  return kind;
}

std::uint64_t ReplayModel::ScanSteps(codec::Reader reader, Chunk chunk) {
  const std::uint64_t max_blocks = std::numeric_limits<Unit>::max() / geometry_.heads;
  const std::uint64_t number = reader.Varint(recordings_.size(), "number of the recording");
  const std::uint64_t key = reader.Fixed(8);
  const auto prompt_blocks = static_cast<std::int64_t>(reader.Varint(max_blocks, "prompt"));
  if (number == recordings_.size()) recordings_.push_back({key, prompt_blocks, 0, 0, {}});
  Recording& recording = recordings_[number];
  if (recording.key != key || recording.prompt_blocks != prompt_blocks)
    reader.Fail("key or prompt differs from the recording's first chunk", "the same");
  if (reader.Varint(~std::uint64_t{0}, "first step") != recording.num_steps)
    reader.Fail("steps are missing", "step " + std::to_string(recording.num_steps) + " first");
  // A step takes a byte or more.
  const std::uint64_t num_steps = reader.Varint(reader.remaining(), "number of steps");
  chunk.first_step = recording.num_steps;
  chunk.num_steps = static_cast<std::uint32_t>(num_steps);
  chunk.steps_position = static_cast<std::uint32_t>(reader.position());
  for (std::uint64_t step = 0; step < num_steps; ++step) {
    recording.context_blocks += static_cast<std::int64_t>(
        reader.Varint(max_blocks - recording.context_blocks, "growth of the context"));
    for (std::int64_t layer = 0; layer < geometry_.num_layers; ++layer) {
      const std::uint64_t length = reader.Varint(reader.remaining(), "length of a record");
      codec::Reader record = reader.Sub(length);
      record.Units(recording.context_blocks * geometry_.heads, added_);
      record.Units(recording.context_blocks * geometry_.heads, removed_);
      if (record.remaining() != 0) record.Fail("bytes after the record", "its end");
      reader.Skip(length);
    }
  }
  if (reader.remaining() != 0) reader.Fail("bytes after the last step", "the end of the chunk");
  recording.num_steps += num_steps;
  if (num_steps > 0) recording.chunks.push_back(chunk);
  return num_steps;
}

void ReplayModel::ScanEnd(codec::Reader reader, std::uint64_t total_steps) const {
  if (reader.Varint(~std::uint64_t{0}, "recordings") != recordings_.size() ||
      reader.Varint(~std::uint64_t{0}, "steps") != total_steps || reader.remaining() != 0)
    reader.Fail("the totals differ from what the file holds",
                std::to_string(recordings_.size()) + " recordings, " + std::to_string(total_steps) +
                    " steps");
}

}  // namespace sparseserve::selection
