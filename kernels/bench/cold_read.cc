#include "kernels/bench/cold_read.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/bench/operations.h"
#include "kernels/bench/statistics.h"
#include "kernels/bench/timer.h"

namespace sparseserve::bench {
namespace {

using kernels::EventPtr;
using kernels::Lane;

constexpr std::int64_t kRequests = 8;
constexpr std::int64_t kBlocks = 1024;

// Blocks of the host, their slots on the device, and attention over just these.
class LoadedBlocks {
 public:
  LoadedBlocks(Workbench& workbench, kernels::LoadMethod method)
      : backend_(workbench.backend()),
        method_(method),
        block_bytes_(workbench.model().layout.BlockBytes().value()) {
    const ModelShape& model = workbench.model();
    const std::int64_t rows = kRequests * model.kv_heads;
    const std::int64_t room = workbench.smallest_pool().value() / block_bytes_;
    const std::int64_t row_blocks = std::max<std::int64_t>(std::min(kBlocks, room) / rows, 1);
    count_ = rows * row_blocks;
    const std::int64_t places = std::min(room, 4 * count_);
    const auto sources = Permutation(places, workbench.seed());
    auto slots = Permutation(places, workbench.seed() + 1);
    slots.resize(static_cast<std::size_t>(count_));
    std::vector<kernels::BlockMove> moves;
    for (std::size_t i = 0; i < slots.size(); ++i) moves.push_back({sources[i], slots[i]});
    const auto moves_bytes = moves.size() * sizeof(kernels::BlockMove);
    moves_ = backend_.AllocateHost(Bytes(static_cast<std::int64_t>(moves_bytes)));
    std::memcpy(moves_.data(), moves.data(), moves_bytes);
    slots_ = workbench.Upload(slots);
    const auto per_row = static_cast<std::size_t>(rows);
    row_blocks_ =
        workbench.Upload(std::vector<std::int32_t>(per_row, static_cast<std::int32_t>(row_blocks)));
    last_tokens_ = workbench.Upload(std::vector<std::int32_t>(per_row, model.layout.block_tokens));
    dram_ = workbench.HostInput(0, places * block_bytes_);
    hbm_ = workbench.Cache(0, places * block_bytes_);
    SetAttention(workbench, row_blocks);
    // What is wrong is not timed: the same kernels at the same sizes.
    MakeLoad(workbench, method, count_, block_bytes_).check();
    MakeDecode(workbench, true, kRequests, row_blocks * model.layout.block_tokens).check();
  }

  std::int64_t count() const { return count_; }
  void Load() const {
    backend_.Load(Lane::kH2d, method_,
                  {dram_, hbm_, block_bytes_, moves_.As<kernels::BlockMove>(), count_, 0});
  }
  Seconds TimeAttention() const {
    const EventPtr begin = backend_.Record(Lane::kCompute);
    backend_.DecodeAttention(attention_);
    const EventPtr end = backend_.Record(Lane::kCompute);
    end->Synchronize();
    return backend_.Elapsed(begin, end);
  }
  Seconds TimeCold() const {
    EvictCaches();
    return TimeAttention();
  }
  Seconds TimeLoaded() const {
    EvictCaches();
    Load();
    backend_.Wait(Lane::kCompute, backend_.Record(Lane::kH2d));
    return TimeAttention();
  }

 private:
  void SetAttention(Workbench& workbench, std::int64_t row_blocks) {
    const ModelShape& model = workbench.model();
    const std::int64_t queries = kRequests * model.query_width() * model.element_bytes();
    attention_.layout = model.layout;
    attention_.num_requests = kRequests;
    attention_.kv_heads = model.kv_heads;
    attention_.group = model.group();
    attention_.scale = 1 / std::sqrt(static_cast<float>(model.layout.head_dim));
    attention_.queries = workbench.Input(1, queries);
    attention_.blocks = hbm_;
    attention_.slots = slots_.As<std::int32_t>();
    attention_.slots_stride = row_blocks;
    attention_.row_blocks = row_blocks_.As<std::int32_t>();
    attention_.last_tokens = last_tokens_.As<std::int32_t>();
    attention_.max_row_blocks = row_blocks;
    attention_.output = workbench.Output(0, queries);
  }
  void EvictCaches() const {
    backend_.FlushCache(Lane::kCompute);
    backend_.Synchronize();
  }

  kernels::Backend& backend_;
  const kernels::LoadMethod method_;
  const std::int64_t block_bytes_;
  std::int64_t count_ = 0;
  kernels::Buffer moves_, slots_, row_blocks_, last_tokens_;
  const std::byte* dram_ = nullptr;
  std::byte* hbm_ = nullptr;
  kernels::DecodeParams attention_;
};

}  // namespace

ColdRead MeasureColdRead(Workbench& workbench, kernels::LoadMethod method, Seconds budget) {
  const LoadedBlocks blocks(workbench, method);
  blocks.TimeLoaded();  // the slots hold numbers
  const Seconds deadline = Now() + budget;
  std::vector<double> cold, loaded;
  while (cold.size() < 3 || (cold.size() < 15 && Now() < deadline)) {
    cold.push_back(blocks.TimeCold().value());
    loaded.push_back(blocks.TimeLoaded().value());
  }
  return {blocks.count(), Seconds(Summarize(std::move(cold)).median),
          Seconds(Summarize(std::move(loaded)).median)};
}

}  // namespace sparseserve::bench
