// Loads, saves and the scatter of FlashD2H. Blocks lie in random order on both sides, as they do in
// a cache that has been used for a while; every byte is compared before a size is timed.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "kernels/bench/check.h"
#include "kernels/bench/operations.h"
#include "kernels/host_event.h"

namespace sparseserve::bench {
namespace {

using calibration::Work;
using kernels::Backend;
using kernels::Buffer;
using kernels::EventPtr;
using kernels::Lane;
using kernels::LoadMethod;
using kernels::SaveMethod;

constexpr std::byte kPoison{0xa5};
constexpr std::int64_t kMostItems = 16384;
constexpr std::int64_t kLeastBlock = 4096;
constexpr std::int64_t kMostBlock = 65536;
constexpr std::int64_t kChunk = std::int64_t{8} << 20;  // of the device memory compared at a time

std::string_view NameOf(LoadMethod method) {
  switch (method) {
    case LoadMethod::kCopyPerBlock:
      return "h2d.memcpy";
    case LoadMethod::kBatchCopy:
      return "h2d.batch";
    case LoadMethod::kGather:
      return "h2d.flash";
    case LoadMethod::kBulkGather:
      return "h2d.bulk";
  }
  return "";
}

std::string_view NameOf(SaveMethod method) {
  switch (method) {
    case SaveMethod::kCopyPerBlock:
      return "d2h.memcpy";
    case SaveMethod::kDirect:
      return "d2h.direct";
    case SaveMethod::kStaged:
      return "d2h.flash";
  }
  return "";
}

// A list of moves in pinned memory, where a kernel may read it.
template <typename Move>
std::shared_ptr<Buffer> PinMoves(Backend& backend, const std::vector<Move>& moves) {
  const auto size = static_cast<std::int64_t>(moves.size() * sizeof(Move));
  auto buffer = std::make_shared<Buffer>(backend.AllocateHost(Bytes(size)));
  std::memcpy(buffer->data(), moves.data(), static_cast<std::size_t>(size));
  return buffer;
}

// Compares `count` pieces of `size` bytes that lie one after the other in device memory with
// host(i).
void CompareDevice(Workbench& workbench, std::string_view name, const std::byte* device,
                   std::int64_t count, std::int64_t size,
                   const std::function<const std::byte*(std::int64_t)>& host) {
  const std::int64_t pieces = std::max<std::int64_t>(kChunk / size, 1);
  for (std::int64_t begin = 0; begin < count; begin += pieces) {
    const std::int64_t end = std::min(begin + pieces, count);
    const auto bytes = workbench.Download<std::byte>(device + begin * size, (end - begin) * size);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::span piece(bytes.data() + (i - begin) * size, static_cast<std::size_t>(size));
      ExpectSameBytes(name, i, piece, {host(i), static_cast<std::size_t>(size)});
    }
  }
}

// A save as moves: fragment i of the device, or the one that a permutation says, goes to a random
// place of the host.
struct SaveSetup {
  std::shared_ptr<Buffer> moves;
  std::vector<std::int64_t> source;  // by move
  std::vector<std::int64_t> destination;
  std::int64_t span = 0;  // bytes that the destinations spread over

  const kernels::FragmentMove* begin() const { return moves->As<kernels::FragmentMove>(); }
};

std::shared_ptr<SaveSetup> MakeSetup(Workbench& workbench, std::int64_t count, std::int64_t size,
                                     bool in_order) {
  auto setup = std::make_shared<SaveSetup>();
  const std::int64_t places = std::min(workbench.host_output_bytes() / size, 4 * count);
  const auto from = Permutation(count, workbench.seed());
  const auto to = Permutation(places, workbench.seed() + 1);
  std::vector<kernels::FragmentMove> moves;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const std::int64_t source = in_order ? static_cast<std::int64_t>(i) : from[i];
    moves.push_back({source * size, to[i] * size});
    setup->source.push_back(moves.back().source);
    setup->destination.push_back(moves.back().destination);
  }
  setup->span = places * size;
  setup->moves = PinMoves(workbench.backend(), moves);
  return setup;
}

// Compares what a save left in host memory with its source on the device.
void CheckSave(Workbench& workbench, std::string_view name, const SaveSetup& setup,
               std::int64_t size, const std::byte* hbm, const std::byte* dram) {
  const auto count = static_cast<std::int64_t>(setup.source.size());
  std::vector<std::int64_t> move_of(setup.source.size());
  for (std::int64_t i = 0; i < count; ++i) move_of[setup.source[i] / size] = i;
  CompareDevice(workbench, name, hbm, count, size,
                [&](std::int64_t i) { return dram + setup.destination[move_of[i]]; });
}

void Poison(std::byte* host, std::int64_t size) {
  std::memset(host, static_cast<int>(kPoison), static_cast<std::size_t>(size));
}

}  // namespace

Call MakeLoad(Workbench& workbench, LoadMethod method, std::int64_t num_blocks,
              std::int64_t block_bytes, int max_workers) {
  const std::int64_t places = std::min(workbench.host_input_bytes() / block_bytes, 4 * num_blocks);
  const auto from = Permutation(places, workbench.seed());
  const auto to = Permutation(num_blocks, workbench.seed() + 1);
  std::vector<kernels::BlockMove> moves(static_cast<std::size_t>(num_blocks));
  for (std::size_t i = 0; i < moves.size(); ++i) moves[i] = {from[i], to[i]};

  Call call;
  call.operation = NameOf(method);
  call.work = Work::Fragments(num_blocks, Bytes(block_bytes));
  call.lane = Lane::kH2d;
  const auto pinned = PinMoves(workbench.backend(), moves);
  call.memory.push_back(pinned);
  call.enqueue = [&workbench, pinned, method, places, num_blocks, block_bytes,
                  max_workers](std::int64_t variant) {
    const std::byte* dram = workbench.HostInput(variant, places * block_bytes);
    std::byte* hbm = workbench.Cache(variant, num_blocks * block_bytes);
    workbench.backend().Load(
        Lane::kH2d, method,
        {dram, hbm, block_bytes, pinned->As<kernels::BlockMove>(), num_blocks, max_workers});
  };
  call.check = [&workbench, moves, places, block_bytes, num_blocks, enqueue = call.enqueue,
                name = call.operation] {
    const std::byte* dram = workbench.HostInput(0, places * block_bytes);
    std::byte* hbm = workbench.Cache(0, num_blocks * block_bytes);
    workbench.backend().Fill(Lane::kH2d, hbm, kPoison, Bytes(num_blocks * block_bytes));
    enqueue(0);
    std::vector<std::int64_t> source(moves.size());
    for (const kernels::BlockMove& move : moves) source[move.destination] = move.source;
    CompareDevice(workbench, name, hbm, num_blocks, block_bytes,
                  [&](std::int64_t i) { return dram + source[i] * block_bytes; });
  };
  return call;
}

Call MakeSave(Workbench& workbench, SaveMethod method, std::int64_t num_fragments,
              std::int64_t fragment_bytes, int max_workers) {
  const bool staged = method == SaveMethod::kStaged;
  const auto setup = MakeSetup(workbench, num_fragments, fragment_bytes, staged);
  Call call;
  call.operation = NameOf(method);
  call.work = Work::Fragments(num_fragments, Bytes(fragment_bytes));
  // A staged save is done when its scatter is, which is no lane's work.
  if (!staged) call.lane = Lane::kD2h;
  const auto save = [&workbench, setup, method, num_fragments, fragment_bytes,
                     max_workers](std::int64_t variant) {
    const std::byte* hbm = workbench.Input(variant, num_fragments * fragment_bytes);
    std::byte* dram = workbench.HostOutput(variant, setup->span);
    return workbench.backend().Save(
        Lane::kD2h, method,
        {hbm, dram, fragment_bytes, setup->begin(), num_fragments, max_workers});
  };
  call.enqueue = [save, staged](std::int64_t variant) {
    const EventPtr saved = save(variant);
    if (staged) saved->Synchronize();
  };
  call.check = [&workbench, setup, save, num_fragments, fragment_bytes, name = call.operation] {
    std::byte* dram = workbench.HostOutput(0, setup->span);
    Poison(dram, setup->span);
    save(0)->Synchronize();
    CheckSave(workbench, name, *setup, fragment_bytes,
              workbench.Input(0, num_fragments * fragment_bytes), dram);
  };
  return call;
}

Call MakeStagingCopy(Workbench& workbench, std::int64_t num_fragments,
                     std::int64_t fragment_bytes) {
  Call call;
  call.operation = "d2h.flash";
  call.work = Work::Fragments(num_fragments, Bytes(fragment_bytes));
  call.lane = Lane::kD2h;
  const std::int64_t total = num_fragments * fragment_bytes;
  const std::int64_t slot = workbench.ring_options().slot.value();
  const std::int64_t ring_bytes = slot * workbench.ring_options().num_slots;
  call.enqueue = [&workbench, total, slot, ring_bytes](std::int64_t variant) {
    const std::byte* hbm = workbench.Input(variant, total);
    // Always the same host memory, as the ring is.
    std::byte* ring = workbench.HostOutput(0, std::min(total, ring_bytes));
    for (std::int64_t at = 0; at < total; at += slot) {
      workbench.backend().Copy(Lane::kD2h, ring + at % ring_bytes, hbm + at,
                               Bytes(std::min(slot, total - at)));
    }
  };
  // The staged save as a whole, whose copies these are.
  call.check = MakeSave(workbench, SaveMethod::kStaged, num_fragments, fragment_bytes).check;
  return call;
}

Call MakeScatter(Workbench& workbench, std::int64_t num_fragments, std::int64_t fragment_bytes) {
  const auto setup = MakeSetup(workbench, num_fragments, fragment_bytes, true);
  Call call;
  call.operation = "cpu.scatter";
  call.work = Work::Fragments(num_fragments, Bytes(fragment_bytes));
  // The ring with copies into its slots that are done at once: what it holds is scattered.
  const auto scatter = [&workbench, setup, num_fragments, fragment_bytes](
                           const std::byte* source, std::byte* dram, bool copies) {
    const auto done = std::make_shared<kernels::HostEvent>();
    done->Complete();
    const auto copy = [&](std::byte* slot, const std::byte* from, Bytes size) -> EventPtr {
      if (copies) std::memcpy(slot, from, static_cast<std::size_t>(size.value()));
      return done;
    };
    workbench.ring()
        .Save({source, dram, fragment_bytes, setup->begin(), num_fragments, 0}, copy)
        ->Synchronize();
  };
  call.enqueue = [&workbench, setup, scatter, num_fragments, fragment_bytes](std::int64_t variant) {
    scatter(workbench.HostInput(0, num_fragments * fragment_bytes),
            workbench.HostOutput(variant, setup->span), false);
  };
  call.check = [&workbench, setup, scatter, num_fragments, fragment_bytes] {
    const std::byte* source = workbench.HostInput(0, num_fragments * fragment_bytes);
    std::byte* dram = workbench.HostOutput(0, setup->span);
    Poison(dram, setup->span);
    scatter(source, dram, true);
    const auto size = static_cast<std::size_t>(fragment_bytes);
    for (std::size_t i = 0; i < setup->source.size(); ++i) {
      ExpectSameBytes("cpu.scatter", static_cast<std::int64_t>(i),
                      {dram + setup->destination[i], size}, {source + setup->source[i], size});
    }
  };
  return call;
}

std::vector<OperationPlan> PlanTransfers(Workbench& workbench) {
  const Backend& backend = workbench.backend();
  const std::int64_t pool = std::min({workbench.input_bytes(), workbench.cache_bytes(),
                                      workbench.host_input_bytes(), workbench.host_output_bytes()});
  const Axis items{1, std::min(kMostItems, pool / kMostBlock), 1};
  const Axis blocks{kLeastBlock, kMostBlock, 512};
  // The K or V of one token of one head up to large blocks.
  const std::int64_t vector = workbench.model().layout.head_dim * workbench.model().element_bytes();
  const Axis fragments{vector, kMostBlock / vector * vector, vector};
  std::vector<OperationPlan> plans;
  for (const LoadMethod method : {LoadMethod::kCopyPerBlock, LoadMethod::kBatchCopy,
                                  LoadMethod::kGather, LoadMethod::kBulkGather}) {
    if (!backend.Supports(method)) continue;
    plans.push_back({std::string(NameOf(method)), items, blocks,
                     [&workbench, method](std::int64_t x, std::int64_t y) {
                       return MakeLoad(workbench, method, x, y);
                     }});
  }
  for (const SaveMethod method : {SaveMethod::kCopyPerBlock, SaveMethod::kDirect}) {
    if (!backend.Supports(method)) continue;
    plans.push_back({std::string(NameOf(method)), items, fragments,
                     [&workbench, method](std::int64_t x, std::int64_t y) {
                       return MakeSave(workbench, method, x, y);
                     }});
  }
  if (backend.Supports(SaveMethod::kStaged)) {
    // One contiguous copy: only its size matters.
    const Axis sizes{16 * vector, pool / 4 / vector * vector, vector};
    plans.push_back(
        {"d2h.flash", {1, 1, 1, {1}}, sizes, [&workbench](std::int64_t x, std::int64_t y) {
           return MakeStagingCopy(workbench, x, y);
         }});
    const Axis scattered{std::min<std::int64_t>(16, items.most), items.most, 1};
    plans.push_back(
        {"cpu.scatter", scattered, fragments,
         [&workbench](std::int64_t x, std::int64_t y) { return MakeScatter(workbench, x, y); }});
  }
  return plans;
}

}  // namespace sparseserve::bench
