// What the shared transfer tests are too small for: more moves than a thread block reads at once,
// under both orders of turns, with every count of thread blocks from starved to idle.
#include "tests/kernels/cuda/emulation.h"

#include <gtest/gtest.h>

#include <cstring>
#include <ostream>
#include <utility>
#include <vector>

#include "kernels/cuda/transfer.h"
#include "sim/core/rng.h"

namespace sparseserve::kernels::cuda {
namespace {

using ByteVector = std::vector<std::byte>;

LaunchContext MakeContext() {
  LaunchContext context;
  context.compute_capability = 90;
  return context;
}

ByteVector RandomBytes(RandomStream& random, std::int64_t size) {
  ByteVector bytes(static_cast<std::size_t>(size));
  for (std::byte& x : bytes) x = static_cast<std::byte>(random.Bits() & 0xff);
  return bytes;
}

struct Case {
  std::int64_t num_moves;
  std::int64_t piece_bytes;

  friend void PrintTo(const Case& c, std::ostream* out) {
    *out << c.num_moves << " pieces of " << c.piece_bytes << " bytes";
  }
};

class TransferKernelsTest : public testing::TestWithParam<Case> {
 protected:
  ~TransferKernelsTest() override { emulation::SetTurnOrder(0); }
};

// Destination i comes from a random source, or is skipped (about one in eight, and a run of 2000).
std::vector<std::int32_t> DrawSources(RandomStream& random, std::int64_t num_moves,
                                      std::int32_t num_sources) {
  std::vector<std::int32_t> sources;
  for (std::int64_t i = 0; i < num_moves; ++i) {
    const bool is_skipped = random.UniformInt(0, 7) == 0 || (i >= 3000 && i < 5000);
    sources.push_back(
        is_skipped ? -1 : static_cast<std::int32_t>(random.UniformInt(0, num_sources - 1)));
  }
  return sources;
}

TEST_P(TransferKernelsTest, GathersLoadEveryMove) {
  constexpr std::int32_t kSources = 40;
  const auto [num_moves, bytes] = GetParam();
  RandomStream random(3, "gather");
  const ByteVector dram = RandomBytes(random, kSources * bytes);
  const ByteVector before = RandomBytes(random, num_moves * bytes);
  const auto sources = DrawSources(random, num_moves, kSources);
  std::vector<BlockMove> moves;
  ByteVector expected = before;
  for (std::int64_t i = 0; i < num_moves; ++i) {
    const std::int64_t slot = num_moves - 1 - i;
    moves.push_back({sources[i], static_cast<std::int32_t>(slot)});
    if (sources[i] < 0) continue;
    std::memcpy(expected.data() + slot * bytes, dram.data() + sources[i] * bytes,
                static_cast<std::size_t>(bytes));
  }
  for (const int parity : {0, 1}) {
    emulation::SetTurnOrder(parity);
    for (const int max_workers : {0, 1, 2, 7, 40}) {
      for (auto* const launch : {&LaunchGather, &LaunchBulkGather}) {
        ByteVector hbm = before;
        LoadParams params;
        params.dram = dram.data();
        params.hbm = hbm.data();
        params.block_bytes = bytes;
        params.moves = moves.data();
        params.num_moves = num_moves;
        params.max_workers = max_workers;
        launch(params, MakeContext());
        ASSERT_TRUE(hbm == expected) << max_workers << (launch == &LaunchGather ? "" : " bulk");
      }
    }
  }
}

TEST_P(TransferKernelsTest, DirectSavesStoreEveryMove) {
  constexpr std::int32_t kSources = 40;
  const auto [num_moves, bytes] = GetParam();
  RandomStream random(4, "save");
  const ByteVector hbm = RandomBytes(random, kSources * bytes);
  const ByteVector before = RandomBytes(random, num_moves * (bytes + 16));
  const auto sources = DrawSources(random, num_moves, kSources);
  std::vector<FragmentMove> moves;
  ByteVector expected = before;
  for (std::int64_t i = 0; i < num_moves; ++i) {
    const std::int64_t destination = (num_moves - 1 - i) * (bytes + 16) + 16;  // gaps between
    moves.push_back({sources[i] < 0 ? -1 : sources[i] * bytes, destination});
    if (sources[i] < 0) continue;
    std::memcpy(expected.data() + destination, hbm.data() + sources[i] * bytes,
                static_cast<std::size_t>(bytes));
  }
  for (const int parity : {0, 1}) {
    emulation::SetTurnOrder(parity);
    for (const int max_workers : {0, 1, 7}) {
      ByteVector dram = before;
      SaveParams params;
      params.hbm = hbm.data();
      params.dram = dram.data();
      params.fragment_bytes = bytes;
      params.moves = moves.data();
      params.num_moves = num_moves;
      params.max_workers = max_workers;
      LaunchDirectSave(params, MakeContext());
      ASSERT_TRUE(dram == expected) << max_workers;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, TransferKernelsTest,
                         testing::Values(Case{6000, 16}, Case{6000, 256}, Case{2500, 656},
                                         Case{1024, 4096}, Case{1025, 1040}, Case{70, 49168},
                                         Case{5, 131072}));

}  // namespace
}  // namespace sparseserve::kernels::cuda
