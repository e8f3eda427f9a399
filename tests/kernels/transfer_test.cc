// Loads and saves of every backend and method: every byte of the destination is compared with a
// plain loop over the moves, guards around and between the moved ranges included.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "sim/core/rng.h"
#ifdef SPARSESERVE_HAVE_EMULATION
#include "tests/kernels/cuda/emulated_backend.h"
#endif

namespace sparseserve::kernels {
namespace {

using ByteVector = std::vector<std::byte>;

constexpr LoadMethod kLoadMethods[] = {LoadMethod::kCopyPerBlock, LoadMethod::kBatchCopy,
                                       LoadMethod::kGather, LoadMethod::kBulkGather};
constexpr SaveMethod kSaveMethods[] = {SaveMethod::kCopyPerBlock, SaveMethod::kDirect,
                                       SaveMethod::kStaged};

ByteVector RandomBytes(RandomStream& random, std::int64_t size) {
  ByteVector bytes(static_cast<std::size_t>(size));
  for (std::byte& x : bytes) x = static_cast<std::byte>(random.Bits());
  return bytes;
}

std::vector<std::int32_t> Permutation(RandomStream& random, std::int32_t size) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(size));
  for (std::int32_t i = 0; i < size; ++i) values[static_cast<std::size_t>(i)] = i;
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1],
              values[static_cast<std::size_t>(random.UniformInt(0, static_cast<int>(i) - 1))]);
  }
  return values;
}

std::unique_ptr<Backend> Open(const std::string& name, const BackendConfig& config) {
#ifdef SPARSESERVE_HAVE_EMULATION
  if (name == "emulated") return std::make_unique<EmulatedBackend>(config);
#endif
  return MakeBackend(name, config);
}

class TransferTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    try {
      // A ring of two small slots, so that most saves go round it.
      backend_ = Open(GetParam(), {.transfer_threads = 2,
                                   .scatter_threads = 2,
                                   .num_staging_slots = 2,
                                   .staging_slot = Bytes(8192)});
    } catch (const BackendUnavailable& error) {
      GTEST_SKIP() << error.what();
    }
  }

  // The emulation takes a switch of fibers for what a GPU thread does in a cycle.
  bool IsTooSlow(std::int64_t total_bytes) const {
    return backend_->name() == "emulated" && total_bytes > 70'000;
  }

  Buffer ToHost(const ByteVector& bytes) {
    Buffer buffer = backend_->AllocateHost(Bytes(static_cast<std::int64_t>(bytes.size())));
    std::copy(bytes.begin(), bytes.end(), buffer.data());
    return buffer;
  }

  Buffer ToDevice(const ByteVector& bytes) {
    const Buffer host = ToHost(bytes);
    Buffer device = backend_->AllocateDevice(host.size());
    backend_->Copy(Lane::kCompute, device.data(), host.data(), host.size());
    backend_->Synchronize();
    return device;
  }

  // Copies a buffer of either kind back.
  ByteVector Read(const Buffer& buffer) {
    const Buffer host = backend_->AllocateHost(buffer.size());
    backend_->Copy(Lane::kCompute, host.data(), buffer.data(), buffer.size());
    backend_->Synchronize();
    return ByteVector(host.data(), host.data() + host.size().value());
  }

  std::unique_ptr<Backend> backend_;
};

TEST_P(TransferTest, LoadsEveryByteAndNoOther) {
  RandomStream random(1, "loads");
  for (const std::int64_t bytes : {16, 48, 256, 1040, 4096, 16384, 24576, 40000, 65536}) {
    for (const std::int32_t num_moves : {0, 1, 2, 3, 16, 61}) {
      if (IsTooSlow(num_moves * bytes)) continue;
      // Slots not hit keep their bytes; blocks are drawn with repetition; a quarter is skipped.
      const std::int32_t num_blocks = 32;
      const std::int32_t num_slots = num_moves + 3;
      const ByteVector dram_bytes = RandomBytes(random, num_blocks * bytes);
      ByteVector expected = RandomBytes(random, num_slots * bytes);
      const ByteVector before = expected;
      const std::vector<std::int32_t> slots = Permutation(random, num_slots);
      std::vector<BlockMove> moves;
      for (std::int32_t i = 0; i < num_moves; ++i) {
        auto source = static_cast<std::int32_t>(random.UniformInt(0, num_blocks - 1));
        if (random.UniformInt(0, 3) == 0) source = -1 - source;
        const std::int32_t slot = slots[static_cast<std::size_t>(i)];
        moves.push_back({source, slot});
        if (source < 0) continue;
        std::memcpy(expected.data() + slot * bytes, dram_bytes.data() + source * bytes,
                    static_cast<std::size_t>(bytes));
      }
      const Buffer dram = ToHost(dram_bytes);
      const Buffer host_moves =
          backend_->AllocateHost(Bytes(static_cast<std::int64_t>(sizeof(BlockMove)) * num_moves));
      std::copy(moves.begin(), moves.end(), host_moves.As<BlockMove>());
      for (const LoadMethod method : kLoadMethods) {
        if (!backend_->Supports(method)) continue;
        for (const int max_workers : {0, 1, 3}) {
          const Buffer hbm = ToDevice(before);
          backend_->Load(Lane::kH2d, method,
                         {.dram = dram.data(),
                          .hbm = hbm.data(),
                          .block_bytes = bytes,
                          .moves = host_moves.As<BlockMove>(),
                          .num_moves = num_moves,
                          .max_workers = max_workers});
          backend_->Record(Lane::kH2d)->Synchronize();
          ASSERT_TRUE(Read(hbm) == expected)
              << "method " << static_cast<int>(method) << ", " << num_moves << " blocks of "
              << bytes << " bytes, max_workers " << max_workers;
        }
      }
    }
  }
}

// The sources lie in a row, as every method can take them; the methods must then agree, since all
// are compared with the same bytes.
TEST_P(TransferTest, SavesEveryByteAndNoOther) {
  RandomStream random(2, "saves");
  for (const std::int64_t bytes : {16, 48, 256, 1040, 4096, 8192, 16384, 65536}) {
    for (const std::int32_t num_moves : {0, 1, 2, 5, 67}) {
      if (IsTooSlow(num_moves * bytes)) continue;
      const std::int32_t num_places = num_moves + num_moves / 2 + 1;
      const ByteVector hbm_bytes = RandomBytes(random, 64 + num_moves * bytes);
      const ByteVector before = RandomBytes(random, num_places * bytes);
      ByteVector expected = before;
      const std::vector<std::int32_t> places = Permutation(random, num_places);
      const Buffer moves = backend_->AllocateHost(
          Bytes(static_cast<std::int64_t>(sizeof(FragmentMove)) * num_moves));
      for (std::int32_t i = 0; i < num_moves; ++i) {
        const FragmentMove move{64 + i * bytes, places[static_cast<std::size_t>(i)] * bytes};
        moves.As<FragmentMove>()[i] = move;
        std::memcpy(expected.data() + move.destination, hbm_bytes.data() + move.source,
                    static_cast<std::size_t>(bytes));
      }
      const Buffer hbm = ToDevice(hbm_bytes);
      for (const SaveMethod method : kSaveMethods) {
        if (!backend_->Supports(method)) continue;
        for (const int max_workers : {0, 1, 3}) {
          const Buffer dram = ToHost(before);
          const EventPtr saved = backend_->Save(Lane::kD2h, method,
                                                {.hbm = hbm.data(),
                                                 .dram = dram.data(),
                                                 .fragment_bytes = bytes,
                                                 .moves = moves.As<FragmentMove>(),
                                                 .num_moves = num_moves,
                                                 .max_workers = max_workers});
          saved->Synchronize();
          EXPECT_TRUE(saved->IsDone());
          ASSERT_TRUE(std::equal(expected.begin(), expected.end(), dram.data()))
              << "method " << static_cast<int>(method) << ", " << num_moves << " fragments of "
              << bytes << " bytes, max_workers " << max_workers;
        }
      }
    }
  }
  backend_->Synchronize();
}

TEST_P(TransferTest, SavesFromAnywhereAndSkips) {
  RandomStream random(3, "scattered saves");
  for (const std::int64_t bytes : {16, 256, 4096, 20000}) {
    const std::int32_t num_moves = 40;
    if (IsTooSlow(num_moves * bytes)) continue;
    const ByteVector hbm_bytes = RandomBytes(random, num_moves * bytes);
    const ByteVector before = RandomBytes(random, num_moves * bytes);
    ByteVector expected = before;
    const std::vector<std::int32_t> places = Permutation(random, num_moves);
    const Buffer moves =
        backend_->AllocateHost(Bytes(static_cast<std::int64_t>(sizeof(FragmentMove)) * num_moves));
    for (std::int32_t i = 0; i < num_moves; ++i) {
      FragmentMove move{random.UniformInt(0, num_moves - 1) * bytes,
                        places[static_cast<std::size_t>(i)] * bytes};
      if (random.UniformInt(0, 3) == 0) move.source = -16;
      moves.As<FragmentMove>()[i] = move;
      if (move.source < 0) continue;
      std::memcpy(expected.data() + move.destination, hbm_bytes.data() + move.source,
                  static_cast<std::size_t>(bytes));
    }
    const Buffer hbm = ToDevice(hbm_bytes);
    for (const SaveMethod method : {SaveMethod::kCopyPerBlock, SaveMethod::kDirect}) {
      if (!backend_->Supports(method)) continue;
      const Buffer dram = ToHost(before);
      backend_
          ->Save(Lane::kD2h, method,
                 {.hbm = hbm.data(),
                  .dram = dram.data(),
                  .fragment_bytes = bytes,
                  .moves = moves.As<FragmentMove>(),
                  .num_moves = num_moves})
          ->Synchronize();
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), dram.data()))
          << "method " << static_cast<int>(method) << ", " << bytes << " bytes";
    }
  }
}

TEST_P(TransferTest, StagedSavesInFlightDoNotMix) {
  constexpr std::int64_t kBytes = 256;
  constexpr std::int32_t kMoves = 96;  // three slots each
  RandomStream random(4, "saves in flight");
  const ByteVector hbm_bytes = RandomBytes(random, 20 * kMoves * kBytes);
  const Buffer hbm = ToDevice(hbm_bytes);
  const Buffer dram = backend_->AllocateHost(hbm.size());
  std::vector<EventPtr> events;
  const std::vector<std::int32_t> places = Permutation(random, 20 * kMoves);
  for (std::int32_t save = 0; save < 20; ++save) {
    std::vector<FragmentMove> moves;  // a staged save has read them when it returns
    for (std::int32_t i = save * kMoves; i < (save + 1) * kMoves; ++i) {
      moves.push_back({i * kBytes, places[static_cast<std::size_t>(i)] * kBytes});
    }
    events.push_back(backend_->Save(Lane::kD2h, SaveMethod::kStaged,
                                    {.hbm = hbm.data(),
                                     .dram = dram.data(),
                                     .fragment_bytes = kBytes,
                                     .moves = moves.data(),
                                     .num_moves = kMoves}));
  }
  events.back()->Synchronize();
  for (const EventPtr& event : events) EXPECT_TRUE(event->IsDone());
  for (std::int32_t i = 0; i < 20 * kMoves; ++i) {
    ASSERT_EQ(std::memcmp(dram.data() + places[static_cast<std::size_t>(i)] * kBytes,
                          hbm_bytes.data() + i * kBytes, kBytes),
              0)
        << i;
  }
}

TEST_P(TransferTest, CopiesAndFillsBothKindsOfMemory) {
  RandomStream random(5, "copies");
  const ByteVector bytes = RandomBytes(random, 100'003);
  const Buffer device = ToDevice(bytes);
  EXPECT_TRUE(Read(device) == bytes);
  const Buffer other = backend_->AllocateDevice(device.size());
  backend_->Copy(Lane::kD2h, other.data(), device.data(), device.size());
  backend_->Synchronize();
  EXPECT_TRUE(Read(other) == bytes);
  backend_->Fill(Lane::kH2d, other.data() + 1, std::byte{0x5a}, Bytes(99'999));
  backend_->Copy(Lane::kH2d, other.data(), device.data(), Bytes(0));
  backend_->Fill(Lane::kH2d, other.data(), std::byte{0}, Bytes(0));
  backend_->Synchronize();
  ByteVector expected = bytes;
  std::fill_n(expected.begin() + 1, 99'999, std::byte{0x5a});
  EXPECT_TRUE(Read(other) == expected);
}

TEST_P(TransferTest, LanesAreOrderedByEvents) {
  constexpr std::int64_t kBytes = 4 << 20;
  const Buffer a = backend_->AllocateDevice(Bytes(kBytes));
  const Buffer b = backend_->AllocateDevice(Bytes(kBytes));
  for (int round = 0; round < 10; ++round) {
    const auto value = static_cast<std::byte>(round + 1);
    const EventPtr begin = backend_->Record(Lane::kH2d);
    backend_->Fill(Lane::kH2d, a.data(), value, a.size());
    const EventPtr filled = backend_->Record(Lane::kH2d);
    backend_->Wait(Lane::kD2h, filled);
    backend_->Copy(Lane::kD2h, b.data(), a.data(), a.size());
    const EventPtr copied = backend_->Record(Lane::kD2h);
    copied->Synchronize();
    EXPECT_TRUE(begin->IsDone() && filled->IsDone());
    EXPECT_GE(backend_->Elapsed(begin, filled), Seconds(0));
    EXPECT_GT(backend_->Elapsed(begin, copied), Seconds(0));
    backend_->Wait(Lane::kH2d, copied);
    const ByteVector result = Read(b);
    EXPECT_EQ(std::count(result.begin(), result.end(), value), kBytes);
  }
}

TEST_P(TransferTest, FlushingTheCacheChangesNoData) {
  RandomStream random(6, "flush");
  const ByteVector bytes = RandomBytes(random, 100'000);
  const Buffer device = ToDevice(bytes);
  const EventPtr begin = backend_->Record(Lane::kCompute);
  backend_->FlushCache(Lane::kCompute);
  const EventPtr end = backend_->Record(Lane::kCompute);
  end->Synchronize();
  EXPECT_GE(backend_->Elapsed(begin, end), Seconds(0));
  EXPECT_TRUE(Read(device) == bytes);
}

TEST_P(TransferTest, DescribesTheDevice) {
  const DeviceInfo info = backend_->Describe();
  EXPECT_FALSE(info.name.empty() || info.driver.empty() || info.runtime.empty());
  EXPECT_FALSE(info.clocks.empty());
  EXPECT_EQ(info.memory > Bytes(0), backend_->name() != "emulated");
  EXPECT_GE(info.cache, Bytes(0));
  EXPECT_GE(info.num_workers, 1);
  EXPECT_GE(info.numa_nodes, 1);
}

std::string NameOf(const testing::TestParamInfo<const char*>& instance) { return instance.param; }

INSTANTIATE_TEST_SUITE_P(Backends, TransferTest, testing::Values("cpu", "cuda"), NameOf);
#ifdef SPARSESERVE_HAVE_EMULATION
INSTANTIATE_TEST_SUITE_P(Emulated, TransferTest, testing::Values("emulated"), NameOf);
#endif

}  // namespace
}  // namespace sparseserve::kernels
