// Memory traffic: block_bytes * num_moves read and as much written; no FLOPs. The bound is the DRAM
// bandwidth of `transfer_threads` cores, so the yardstick is one large memcpy over the same
// threads.
//
// Work items are pieces of at most 16 KiB of a block, so that few large blocks still occupy all
// threads; each thread takes a contiguous range of items, two at a time.
//
// Tried, in random order over 512 MiB of a 1 GiB pool, as a share of one large memcpy over the same
// threads (2 cores of an EPYC 7003, L3 32 MiB, g++ 12, medians of variants run in turn, 2026-11):
//                                                    4 KB block   16 KB block
//   memcpy of each block                             0.38-0.40    0.56-0.59
//   stores around the cache                          0.46-0.51    0.69-0.77
//   ... and the next block is asked for              0.58-0.65    0.74-0.87
//   two blocks in turn, one line each                0.60-0.65    0.84-0.92
//   ... two lines each, next two asked for (this)    0.70-0.73    0.86-0.91
//   ... the same in pages of 4 KiB                   0.57-0.65    0.82-0.85
//   three or four blocks in turn                     0.20-0.32    0.20-0.36
// What explains it, as far as we can tell: a block is too short for the hardware prefetcher to run
// ahead, so its first lines are misses that one stream waits for and a second one fills; three
// streams leave more half-written lines than the core has buffers to combine them. glibc's memcpy
// goes around the cache only for copies of the order of the L3. Prefetches to L1, to L2 and
// non-temporal ones are equal within noise. AVX stores of 32 bytes gained 10 % over SSE2 on one
// stream and 3-5 % once the next block was asked for: not worth a second code path.
#include "kernels/cpu/transfer.h"

#include <algorithm>
#include <cstring>

#include "kernels/stream_copy.h"
#include "sim/core/check.h"
#include "sim/core/units.h"

namespace sparseserve::kernels::cpu {
namespace {

constexpr std::int64_t kMaxPieceBytes = 16 << 10;
constexpr std::int64_t kLine = 64;  // of the cache

// find_move(i) gives the i-th copy; its size is 0 if it is skipped.
template <typename FindMove>
void CopyPieces(std::int64_t num_moves, std::int64_t move_bytes, int max_workers, ThreadPool& pool,
                const FindMove& find_move) {
  if (num_moves == 0) return;
  SPARSESERVE_CHECK(move_bytes > 0 && move_bytes % 16 == 0, "a move is a multiple of 16 bytes");
  const std::int64_t pieces_per_move = CeilDiv(move_bytes, kMaxPieceBytes);
  const std::int64_t piece_bytes = CeilDiv(CeilDiv(move_bytes, pieces_per_move), kLine) * kLine;

  const auto find_piece = [&](std::int64_t index) {
    CopyPiece piece = find_move(index / pieces_per_move);
    const std::int64_t begin = std::min(index % pieces_per_move * piece_bytes, piece.size);
    return CopyPiece{piece.destination + begin, piece.source + begin,
                     std::min(piece_bytes, piece.size - begin)};
  };
  const auto copy_range = [&](std::int64_t begin, std::int64_t end) {
    CopyPiece a = find_piece(begin);
    CopyPiece b = find_piece(std::min(begin + 1, end - 1));
    for (std::int64_t i = begin; i < end; i += 2) {
      if (i + 1 == end) {
        StreamCopy(a.destination, a.source, a.size);
        break;
      }
      // At the end of the range there is no next one: what is asked for is then there already.
      const CopyPiece next_a = i + 2 < end ? find_piece(i + 2) : a;
      const CopyPiece next_b = i + 3 < end ? find_piece(i + 3) : b;
      StreamCopyPair(a, b, next_a.source, next_b.source);
      a = next_a;
      b = next_b;
    }
    FenceStreamCopies();
  };
  pool.Grow(max_workers);
  pool.ParallelFor(num_moves * pieces_per_move, copy_range, max_workers);
}

auto LoadMoves(const LoadParams& params) {
  return [&params](std::int64_t i) {
    const BlockMove& move = params.moves[i];
    if (move.source < 0) return CopyPiece{params.hbm, params.dram, 0};
    return CopyPiece{params.hbm + move.destination * params.block_bytes,
                     params.dram + move.source * params.block_bytes, params.block_bytes};
  };
}

auto SaveMoves(const SaveParams& params) {
  return [&params](std::int64_t i) {
    const FragmentMove& move = params.moves[i];
    if (move.source < 0) return CopyPiece{params.dram, params.hbm, 0};
    return CopyPiece{params.dram + move.destination, params.hbm + move.source,
                     params.fragment_bytes};
  };
}

template <typename FindMove>
void CopyEach(std::int64_t num_moves, const FindMove& find_move) {
  for (std::int64_t i = 0; i < num_moves; ++i) {
    const CopyPiece piece = find_move(i);
    if (piece.size == 0) continue;
    std::memcpy(piece.destination, piece.source, static_cast<std::size_t>(piece.size));
  }
}

}  // namespace

void LoadByCopies(const LoadParams& params) { CopyEach(params.num_moves, LoadMoves(params)); }

void SaveByCopies(const SaveParams& params) { CopyEach(params.num_moves, SaveMoves(params)); }

void LoadByGather(const LoadParams& params, ThreadPool& pool) {
  CopyPieces(params.num_moves, params.block_bytes, params.max_workers, pool, LoadMoves(params));
}

void SaveDirectly(const SaveParams& params, ThreadPool& pool) {
  CopyPieces(params.num_moves, params.fragment_bytes, params.max_workers, pool, SaveMoves(params));
}

}  // namespace sparseserve::kernels::cpu
