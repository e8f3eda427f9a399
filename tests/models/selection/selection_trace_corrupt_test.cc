// Damaged selection traces: each fault is found and named with file and byte offset.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "models/selection/replay_model.h"
#include "models/selection/trace_codec.h"
#include "sim/core/error.h"
#include "sim/core/hash.h"

namespace sparseserve::selection {
namespace {

using testing::HasSubstr;

constexpr TraceGeometry kGeometry{1, 2, 32};

// A directory of this process, removed at its end.
struct Scratch {
  Scratch() { std::filesystem::create_directories(path); }
  ~Scratch() { std::filesystem::remove_all(path); }
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) /
                                     ("selection_corrupt_" + std::to_string(::getpid()));
};

std::string PathFor(const std::string& name) {
  static const Scratch scratch;
  return (scratch.path / name).string();
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string Header(std::uint32_t version = 1) {
  std::string header(codec::kMagic);
  codec::AppendFixed(header, version, 4);
  codec::AppendFixed(header, kGeometry.num_layers, 4);
  codec::AppendFixed(header, kGeometry.heads, 4);
  codec::AppendFixed(header, kGeometry.block_tokens, 4);
  codec::AppendFixed(header, HashBytes(header), 8);
  return header;
}

std::string Chunk(std::uint32_t kind, const std::string& payload) {
  std::string chunk;
  codec::AppendFixed(chunk, kind, 4);
  codec::AppendFixed(chunk, payload.size(), 4);
  codec::AppendFixed(chunk, codec::ChunkChecksum(kind, payload), 8);
  return chunk + payload;
}

// A steps chunk of key 42 and prompt 4; `steps` holds `num_steps` encoded steps.
std::string Steps(std::uint64_t recording, std::uint64_t first, std::uint64_t num_steps,
                  const std::string& steps, std::uint64_t prompt = 4) {
  std::string payload;
  codec::AppendVarint(payload, recording);
  codec::AppendFixed(payload, 42, 8);
  codec::AppendVarint(payload, prompt);
  codec::AppendVarint(payload, first);
  codec::AppendVarint(payload, num_steps);
  return Chunk(codec::kStepsChunk, payload + steps);
}

// One step that grows the context by `growth`; `record` is its only layer.
std::string OneStep(std::uint64_t growth, const std::string& record) {
  std::string step;
  codec::AppendVarint(step, growth);
  codec::AppendVarint(step, record.size());
  return step + record;
}

std::string End(std::uint64_t recordings, std::uint64_t steps) {
  std::string totals;
  codec::AppendVarint(totals, recordings);
  codec::AppendVarint(totals, steps);
  return Chunk(codec::kEndChunk, totals);
}

const std::string kRecord("\2\0\1\0", 4);  // units 0 and 2 join, none leaves
const std::string kSound = Header() + Steps(0, 0, 1, OneStep(4, kRecord)) + End(1, 1);

std::string ErrorOf(const std::string& name, const std::string& bytes,
                    const TraceGeometry& geometry = kGeometry) {
  const std::string path = PathFor(name);
  Write(path, bytes);
  try {
    ReplayModel replay(path, geometry);
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path + ": byte "));
    return error.what();
  }
  return "";
}

TEST(CorruptTraceTest, TheUndamagedFileIsSound) {
  EXPECT_EQ(ErrorOf("sound", kSound), "");
  ReplayModel replay(PathFor("sound"), kGeometry);
  replay.BeginRequest(0, 42, 4);
  SelectionDelta delta;
  replay.Step(0, 0, 4, delta);
  EXPECT_THAT(delta.added, testing::UnorderedElementsAre(0, 2, 6, 7));  // 6, 7: the newest block
}

TEST(CorruptTraceTest, EveryTruncationIsFound) {
  for (std::size_t size = 0; size < kSound.size(); ++size)
    ASSERT_NE(ErrorOf("truncated", kSound.substr(0, size)), "") << size;
}

TEST(CorruptTraceTest, EveryFlippedBitIsFound) {
  for (std::size_t i = 0; i < kSound.size() * 8; ++i) {
    std::string bytes = kSound;
    bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << (i % 8)));
    ASSERT_NE(ErrorOf("flipped", bytes), "") << i;
  }
}

struct Fault {
  const char* name;
  std::string bytes;
  const char* message;
};

// Faults with sound checksums: those of a wrong writer.
TEST(CorruptTraceTest, EachFaultIsNamed) {
  const std::string h = Header();
  const std::string huge("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);  // 2^64 - 1
  const std::string overlong("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
  const std::string good = OneStep(4, kRecord);
  const std::vector<Fault> faults = {
      {"magic", "NOTATRCE" + h.substr(8), "byte 0: this is no selection trace"},
      {"version", Header(2) + End(0, 0), "byte 8: version 2; expected 1"},
      {"kind", h + Chunk(7, "x"), "byte 32: unknown chunk kind 7"},
      {"no_end", h + Steps(0, 0, 1, good), "the data ends here"},
      {"after_end", kSound + "x", "1 bytes after the end chunk"},
      {"recordings", h + Steps(0, 0, 1, good) + End(2, 1), "totals differ"},
      {"steps", h + Steps(0, 0, 1, good) + End(1, 2), "totals differ"},
      {"number", h + Steps(1, 0, 1, good) + End(1, 1), "number of the recording is too large"},
      {"other_prompt", h + Steps(0, 0, 1, good) + Steps(0, 1, 0, "", 5), "key or prompt differs"},
      {"gap", h + Steps(0, 0, 1, good) + Steps(0, 2, 1, good), "steps are missing"},
      {"prompt", h + Steps(0, 0, 1, good, std::uint64_t{1} << 40), "prompt is too large"},
      {"num_steps", h + Steps(0, 0, 1000, good), "number of steps is too large"},
      {"few_steps", h + Steps(0, 0, 1, good + good), "bytes after the last step"},
      {"growth", h + Steps(0, 0, 1, OneStep(std::uint64_t{1} << 40, kRecord)), "growth of the"},
      {"record_length", h + Steps(0, 0, 1, "\4\x64" + kRecord), "length of a record is too large"},
      {"record_short", h + Steps(0, 0, 1, OneStep(4, std::string("\0", 1))), "the data ends here"},
      {"record_long", h + Steps(0, 0, 1, OneStep(4, std::string("\0\0\0", 3))), "after the record"},
      {"count", h + Steps(0, 0, 1, OneStep(4, "\x7f\1\1")), "number of units is too large"},
      {"huge_count", h + Steps(0, 0, 1, OneStep(4, huge)), "number of units is too large"},
      {"overlong", h + Steps(0, 0, 1, OneStep(4, overlong)), "number of units is too large"},
      {"unit", h + Steps(0, 0, 1, OneStep(4, std::string("\1\x08\0", 3))), "unit is too large"},
      {"unit_gap", h + Steps(0, 0, 1, OneStep(4, std::string("\2\7\0\0", 4))),
       "beyond the context"},
  };
  for (const Fault& fault : faults)
    EXPECT_THAT(ErrorOf(fault.name, fault.bytes), HasSubstr(fault.message)) << fault.name;
}

TEST(CorruptTraceTest, AHugeChunkLengthIsRefusedBeforeItIsRead) {
  std::string bytes = kSound;
  bytes.replace(codec::kHeaderBytes + 4, 4, "\xff\xff\xff\xff");
  EXPECT_THAT(ErrorOf("length", bytes), HasSubstr("byte 36: a chunk of 4294967295 bytes"));
}

TEST(CorruptTraceTest, AnotherGeometryIsRefusedWithBoth) {
  const std::string error = ErrorOf("geometry", kSound, {1, 8, 16});
  EXPECT_THAT(error, HasSubstr("byte 12: recorded for 1 layers, 2 heads, blocks of 32 tokens"));
  EXPECT_THAT(error, HasSubstr("expected 1 layers, 8 heads, blocks of 16 tokens"));
}

TEST(CorruptTraceTest, ADirectoryIsASystemError) {
  EXPECT_THROW(ReplayModel(testing::TempDir(), kGeometry), std::system_error);
}

// Units that contradict the selection so far are found when the step is replayed.
TEST(CorruptTraceTest, ContradictoryDeltasAreRefused) {
  const std::string joins_twice = OneStep(0, std::string("\1\2\0", 3));
  const std::string leaves_absent = OneStep(0, std::string("\0\1\1", 3));
  for (const std::string& second : {joins_twice, leaves_absent}) {
    const std::string path = PathFor("contradiction");
    Write(path, Header() + Steps(0, 0, 2, OneStep(4, kRecord) + second) + End(1, 2));
    ReplayModel replay(path, kGeometry);
    replay.BeginRequest(0, 42, 4);
    SelectionDelta delta;
    replay.Step(0, 0, 4, delta);
    EXPECT_THROW(replay.Step(0, 0, 4, delta), InputError);
  }
}

}  // namespace
}  // namespace sparseserve::selection
