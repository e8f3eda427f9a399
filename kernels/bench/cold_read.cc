#include "kernels/bench/cold_read.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/bench/operations.h"
#include "kernels/bench/timer.h"

namespace sparseserve::bench {
namespace {

using kernels::EventPtr;
using kernels::Lane;

constexpr std::int64_t kRequests = 8;
constexpr std::int64_t kBlocks = 1024;
// Places are loaded in turn, set after set. What half of them brought since is many times the
// caches.
constexpr std::int64_t kSets = 8;
constexpr int kUnmeasured = 2;  // layers of a sample
constexpr int kMeasured = 4;
// What keeps the compute lane busy: a product whose operands stay in a core's own caches.
constexpr std::int64_t kBusyRows = 16;
constexpr std::int64_t kBusyWidth = 128;
constexpr double kMostBusyCalls = 1000;
constexpr double kBusyShare = 1.2;  // of the time of a load

}  // namespace

// Sets of blocks of the host, their slots on the device, and attention over one of the sets.
class ColdRead::LoadedBlocks {
 public:
  LoadedBlocks(Workbench& workbench, kernels::LoadMethod method)
      : backend_(workbench.backend()),
        method_(method),
        block_bytes_(workbench.model().layout.BlockBytes().value()) {
    const ModelShape& model = workbench.model();
    rows_ = kRequests * model.kv_heads;
    const std::int64_t room = workbench.smallest_pool().value() / block_bytes_ / kSets;
    row_blocks_ = std::max<std::int64_t>(std::min(kBlocks, room) / rows_, 1);
    const std::int64_t places = kSets * count();
    const auto sources = Permutation(places, workbench.seed());
    const auto slots = Permutation(places, workbench.seed() + 1);
    std::vector<kernels::BlockMove> moves;
    for (std::size_t i = 0; i < slots.size(); ++i) moves.push_back({sources[i], slots[i]});
    const auto moves_bytes = moves.size() * sizeof(kernels::BlockMove);
    moves_ = backend_.AllocateHost(Bytes(static_cast<std::int64_t>(moves_bytes)));
    std::memcpy(moves_.data(), moves.data(), moves_bytes);
    slots_ = workbench.Upload(slots);
    const auto per_row = static_cast<std::size_t>(rows_);
    blocks_of_row_ = workbench.Upload(
        std::vector<std::int32_t>(per_row, static_cast<std::int32_t>(row_blocks_)));
    last_tokens_ = workbench.Upload(std::vector<std::int32_t>(per_row, model.layout.block_tokens));
    dram_ = workbench.HostInput(0, places * block_bytes_);
    hbm_ = workbench.Cache(0, places * block_bytes_);
    SetOperands(workbench);
    // What is wrong is not timed: the same kernels at the same sizes.
    MakeLoad(workbench, method, count(), block_bytes_).check();
    MakeDecode(workbench, true, kRequests, row_blocks_ * model.layout.block_tokens).check();
    for (const auto& [n, k] : ProjectionShapes(model))
      projections_.push_back(MakeGemm(workbench, kRequests, n, k));
    for (std::int64_t set = 0; set < kSets; ++set) Load(set);  // the slots hold numbers
    MatchBusyWork();
  }

  std::int64_t count() const { return rows_ * row_blocks_; }
  // Begins a layer: its projections, then the load of the next set.
  void LoadNext() {
    for (const Call& call : projections_) call.enqueue(variant_++);
    set_ = (set_ + 1) % kSets;
    backend_.Wait(Lane::kH2d, backend_.Record(Lane::kCompute));
    Load(set_);
    for (std::int64_t i = 0; i < num_busy_; ++i) backend_.Gemm(busy_);
    backend_.Wait(Lane::kCompute, backend_.Record(Lane::kH2d));
  }
  Seconds AttendLoaded() { return Attend(set_); }
  Seconds AttendCold() { return Attend((set_ + kSets / 2) % kSets); }

 private:
  void Load(std::int64_t set) const {
    backend_.Load(
        Lane::kH2d, method_,
        {dram_, hbm_, block_bytes_, moves_.As<kernels::BlockMove>() + set * count(), count(), 0});
  }
  template <typename Enqueue>
  Seconds Time(Lane lane, const Enqueue& enqueue) const {
    const EventPtr begin = backend_.Record(lane);
    enqueue();
    const EventPtr end = backend_.Record(lane);
    end->Synchronize();
    return backend_.Elapsed(begin, end);
  }
  Seconds Attend(std::int64_t set) {
    attention_.slots = slots_.As<std::int32_t>() + set * count();
    return Time(Lane::kCompute, [this] { backend_.DecodeAttention(attention_); });
  }
  // Chooses how often the busy work is done, so that it ends a little after the load.
  void MatchBusyWork() {
    constexpr int kCalls = 16;
    const Seconds load = Time(Lane::kH2d, [this] { Load(0); });
    const Seconds busy = Time(Lane::kCompute, [this] {
      for (int i = 0; i < kCalls; ++i) backend_.Gemm(busy_);
    });
    const double calls = kBusyShare * (load / busy) * kCalls;
    num_busy_ = static_cast<std::int64_t>(std::clamp(std::ceil(calls), 1.0, kMostBusyCalls));
  }
  void SetOperands(Workbench& workbench) {
    const ModelShape& model = workbench.model();
    const std::int64_t queries = kRequests * model.query_width() * model.element_bytes();
    attention_.layout = model.layout;
    attention_.num_requests = kRequests;
    attention_.kv_heads = model.kv_heads;
    attention_.group = model.group();
    attention_.scale = 1 / std::sqrt(static_cast<float>(model.layout.head_dim));
    attention_.queries = workbench.Input(1, queries);
    attention_.blocks = hbm_;
    attention_.slots_stride = row_blocks_;
    attention_.row_blocks = blocks_of_row_.As<std::int32_t>();
    attention_.last_tokens = last_tokens_.As<std::int32_t>();
    attention_.max_row_blocks = row_blocks_;
    attention_.output = workbench.Output(0, queries);
    busy_ = {model.layout.type,
             kBusyRows,
             kBusyWidth,
             kBusyWidth,
             workbench.Input(2, kBusyRows * kBusyWidth * model.element_bytes()),
             workbench.Input(3, kBusyWidth * kBusyWidth * model.element_bytes()),
             workbench.Output(1, kBusyRows * kBusyWidth * model.element_bytes()),
             false};
  }

  kernels::Backend& backend_;
  const kernels::LoadMethod method_;
  const std::int64_t block_bytes_;
  std::int64_t rows_ = 0;  // of attention: requests x KV heads
  std::int64_t row_blocks_ = 0;
  std::int64_t set_ = 0;  // the last one loaded
  kernels::Buffer moves_, slots_, blocks_of_row_, last_tokens_;
  const std::byte* dram_ = nullptr;
  std::byte* hbm_ = nullptr;
  kernels::DecodeParams attention_;
  std::vector<Call> projections_;
  std::int64_t variant_ = 0;
  kernels::GemmParams busy_;
  std::int64_t num_busy_ = 0;
};

ColdRead::ColdRead(Workbench& workbench, kernels::LoadMethod method)
    : blocks_(std::make_unique<LoadedBlocks>(workbench, method)) {}

ColdRead::~ColdRead() = default;

std::int64_t ColdRead::num_blocks() const { return blocks_->count(); }

void ColdRead::Sample() {
  for (int layer = 0; layer < kUnmeasured + kMeasured; ++layer) {
    blocks_->LoadNext();
    const Seconds loaded = blocks_->AttendLoaded();
    const Seconds cold = blocks_->AttendCold();
    if (layer < kUnmeasured) continue;
    loaded_ += loaded;
    cold_ += cold;
    ++num_samples_;
  }
}

}  // namespace sparseserve::bench
