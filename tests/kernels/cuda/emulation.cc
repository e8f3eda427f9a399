#include "tests/kernels/cuda/emulation.h"

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/cuda/emulated_copies.h"

#if defined(__SANITIZE_ADDRESS__)
#define SPARSESERVE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPARSESERVE_ADDRESS_SANITIZER 1
#endif
#endif
#ifdef SPARSESERVE_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

namespace sparseserve::kernels::cuda::emulation {
namespace {

namespace context = boost::context;

constexpr std::size_t kStackBytes = std::size_t{256} << 10;
constexpr unsigned kWarp = 32;
constexpr std::byte kPoison{0xff};

// AddressSanitizer is told of each switch to another stack; the other builds need nothing.
void StartSwitch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* bottom,
                 [[maybe_unused]] std::size_t size) {
#ifdef SPARSESERVE_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(fake_stack, bottom, size);
#endif
}
void FinishSwitch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** old_bottom,
                  [[maybe_unused]] std::size_t* old_size) {
#ifdef SPARSESERVE_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(fake_stack, old_bottom, old_size);
#endif
}

// Ends the stack frames of a kernel that cannot go on.
struct Cancelled {};

// A fiber that runs one kernel thread after another.
class Worker {
 public:
  Worker() {
    context::stack_context stack = allocator_.allocate();
    stack_bottom_ = static_cast<std::byte*>(stack.sp) - stack.size;
    stack_size_ = stack.size;
    fiber_ = context::fiber(std::allocator_arg, context::preallocated(stack.sp, stack.size, stack),
                            allocator_,
                            [this](context::fiber&& caller) { return Loop(std::move(caller)); });
  }

  // Gives the fiber its turn; returns when it waits or is done. REQUIRES: !is_done().
  void Resume() {
    is_started_ = true;
    void* fake_stack = nullptr;
    StartSwitch(&fake_stack, stack_bottom_, stack_size_);
    fiber_ = std::move(fiber_).resume();
    FinishSwitch(fake_stack, nullptr, nullptr);
  }
  void Start(const std::function<void()>* body) {
    body_ = body;
    error_ = nullptr;
    is_started_ = false;
    is_cancelled_ = false;
  }
  // On the fiber: back to whom resumed it.
  void Yield() {
    SwitchBack();
    if (is_cancelled_) throw Cancelled();
  }
  void Cancel() {
    if (!is_started_) body_ = nullptr;
    if (is_done()) return;
    is_cancelled_ = true;
    Resume();
  }
  bool is_done() const { return body_ == nullptr; }
  const std::exception_ptr& error() const { return error_; }

 private:
  context::fiber Loop(context::fiber&& caller) {
    caller_ = std::move(caller);
    FinishSwitch(nullptr, &caller_bottom_, &caller_size_);
    for (;;) {
      try {
        (*body_)();
      } catch (const Cancelled&) {
      } catch (const context::detail::forced_unwind&) {
        throw;
      } catch (...) {
        error_ = std::current_exception();
      }
      body_ = nullptr;
      SwitchBack();
    }
  }
  void SwitchBack() {
    void* fake_stack = nullptr;
    StartSwitch(&fake_stack, caller_bottom_, caller_size_);
    caller_ = std::move(caller_).resume();
    FinishSwitch(fake_stack, &caller_bottom_, &caller_size_);
  }

  context::protected_fixedsize_stack allocator_{kStackBytes};
  context::fiber fiber_;
  context::fiber caller_;
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr error_;
  bool is_started_ = false;
  bool is_cancelled_ = false;
  const void* stack_bottom_ = nullptr;
  std::size_t stack_size_ = 0;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_size_ = 0;
};

struct Thread {
  Worker* worker = nullptr;
  uint3 index;
  ThreadCopies copies;
  // What it waits for; an operation of null: nothing, it is ready.
  const char* operation = nullptr;
  int barrier = -1;           // of Barrier
  Combine combine = nullptr;  // of Collect
  unsigned mask = 0;
  void* data = nullptr;
  const std::function<bool()>* is_ready = nullptr;  // of WaitUntil
};

struct BarrierState {
  const char* operation = nullptr;  // of those that wait
  std::size_t num_waiting = 0;
  int sum = 0;
  int result = 0;  // the sum when it opened last
};

constexpr int kNumBarriers = 16;  // as on the device

struct Block {
  std::vector<Thread> threads;
  std::byte* shared = nullptr;
  BulkLoads loads;
  BarrierState barriers[kNumBarriers];
  Thread* running = nullptr;
};

Block* g_block = nullptr;
int g_turn_parity = 0;

// Workers are kept for the life of the process: their stacks are what costs.
std::vector<std::unique_ptr<Worker>>& Workers() {
  static auto* workers = new std::vector<std::unique_ptr<Worker>>;
  return *workers;
}

Thread& Running() {
  if (g_block == nullptr || g_block->running == nullptr) {
    throw EmulationError("device code runs outside a kernel");
  }
  return *g_block->running;
}

std::string Name(const uint3& index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ")";
}

void Yield(Thread& thread) { thread.worker->Yield(); }

// Who waits where: the text of a hang.
std::string DescribeHang(const Block& block) {
  std::map<std::string, std::pair<int, const Thread*>> places;
  for (const Thread& thread : block.threads) {
    std::string place = "exited";
    if (!thread.worker->is_done()) {
      place = std::string("waits at ") + thread.operation;
      if (thread.combine != nullptr) place += " with mask " + std::to_string(thread.mask);
      if (thread.barrier > 0) place += " " + std::to_string(thread.barrier);
    }
    auto& [count, first] = places[place];
    if (count++ == 0) first = &thread;
  }
  std::string text = "block " + Name(blockIdx) + " hangs:";
  for (const auto& [place, threads] : places) {
    text += " [" + std::to_string(threads.first) + " threads, the first " +
            Name(threads.second->index) + ": " + place + "]";
  }
  return text;
}

void Resume(Block& block, Thread& thread) {
  block.running = &thread;
  threadIdx = thread.index;
  thread.worker->Resume();
  block.running = nullptr;
  if (thread.worker->error() != nullptr) std::rethrow_exception(thread.worker->error());
}

// Lets every thread that can go on take a turn; false if there was none.
bool TakeTurns(Block& block, bool backward) {
  bool any = false;
  const std::size_t num_threads = block.threads.size();
  for (std::size_t i = 0; i < num_threads; ++i) {
    Thread& thread = block.threads[backward ? num_threads - 1 - i : i];
    if (thread.worker->is_done()) continue;
    if (thread.is_ready != nullptr && (*thread.is_ready)()) {
      thread.is_ready = nullptr;
      thread.operation = nullptr;
    }
    if (thread.operation != nullptr) continue;
    Resume(block, thread);
    any = true;
  }
  return any;
}

void RunThreads(Block& block, bool backward) {
  for (;;) {
    if (TakeTurns(block, backward)) continue;
    const auto is_done = [](const Thread& thread) { return thread.worker->is_done(); };
    if (std::all_of(block.threads.begin(), block.threads.end(), is_done)) break;
    if (!block.loads.FinishOne(backward)) throw EmulationError(DescribeHang(block));
  }
  if (!block.loads.IsEmpty()) throw EmulationError("a block ends before its bulk loads");
  for (Thread& thread : block.threads) {
    if (!thread.copies.bulk_stores.IsEmpty()) {
      throw EmulationError("a thread ends before its bulk stores have been read");
    }
    thread.copies.copies.WaitFor(0);
  }
}

void RunBlock(dim3 block_size, std::byte* shared, bool backward,
              const std::function<void()>& thread_body) {
  const std::size_t num_threads = std::size_t{block_size.x} * block_size.y * block_size.z;
  auto& workers = Workers();
  while (workers.size() < num_threads) workers.push_back(std::make_unique<Worker>());
  Block block;
  block.shared = shared;
  block.threads.resize(num_threads);
  for (std::size_t i = 0; i < num_threads; ++i) {
    Thread& thread = block.threads[i];
    const auto linear = static_cast<unsigned>(i);
    thread.index = {linear % block_size.x, linear / block_size.x % block_size.y,
                    linear / block_size.x / block_size.y};
    thread.worker = workers[i].get();
    thread.worker->Start(&thread_body);
  }
  g_block = &block;
  try {
    RunThreads(block, backward);
  } catch (...) {
    for (Thread& thread : block.threads) {
      thread.worker->Cancel();
    }
    g_block = nullptr;
    throw;
  }
  g_block = nullptr;
}

struct FreeShared {
  void operator()(std::byte* shared) const { ::operator delete[](shared, std::align_val_t{128}); }
};

}  // namespace

void Run(dim3 grid, dim3 block, std::size_t shared_bytes,
         const std::function<void()>& thread_body) {
  const std::size_t num_threads = std::size_t{block.x} * block.y * block.z;
  if (num_threads == 0 || num_threads > 1024) throw EmulationError("a block has 1 to 1024 threads");
  if (shared_bytes > 227 * 1024) throw EmulationError("more shared memory than any device has");
  if (grid.y > 65535 || grid.z > 65535) throw EmulationError("grid dimension above 65535");
  if (g_block != nullptr) throw EmulationError("a kernel starts a kernel");
  gridDim = grid;
  blockDim = block;
  unsigned index = 0;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x, ++index) {
        blockIdx = {x, y, z};
        const std::unique_ptr<std::byte[], FreeShared> shared(
            static_cast<std::byte*>(::operator new[](shared_bytes, std::align_val_t{128})));
        std::memset(shared.get(), static_cast<int>(kPoison), shared_bytes);
        RunBlock(block, shared.get(), (index + static_cast<unsigned>(g_turn_parity)) % 2 == 1,
                 thread_body);
      }
    }
  }
}

void SetTurnOrder(int parity) { g_turn_parity = parity; }

void Fill(void* destination, std::byte value, std::size_t num_bytes) {
  std::memset(destination, static_cast<int>(value), num_bytes);
}

void Fail(const char* what) {
  throw EmulationError("block " + Name(blockIdx) + ", thread " + Name(threadIdx) + ": " + what);
}

std::byte* SharedBytes() {
  Running();
  return g_block->shared;
}

unsigned LaneIndex() { return static_cast<unsigned>(&Running() - g_block->threads.data()) % kWarp; }

int Barrier(const char* operation, int id, int num_threads, int value) {
  Thread& self = Running();
  const std::size_t num_needed =
      num_threads == 0 ? g_block->threads.size() : static_cast<std::size_t>(num_threads);
  if (id < 0 || id >= kNumBarriers) Fail("a block has barriers 0 to 15");
  BarrierState& barrier = g_block->barriers[id];
  if (barrier.num_waiting > 0 && std::strcmp(barrier.operation, operation) != 0) {
    Fail("threads meet at different barriers");
  }
  barrier.operation = operation;
  barrier.sum += value;
  if (++barrier.num_waiting < num_needed) {
    self.operation = operation;
    self.barrier = id;
    Yield(self);
    return barrier.result;
  }
  barrier.result = std::exchange(barrier.sum, 0);
  barrier.num_waiting = 0;
  for (Thread& thread : g_block->threads) {
    if (thread.barrier != id) continue;
    thread.operation = nullptr;
    thread.barrier = -1;
  }
  return barrier.result;
}

void Collect(const char* operation, unsigned mask, void* data, Combine combine) {
  Thread& self = Running();
  const auto position = static_cast<std::size_t>(&self - g_block->threads.data());
  if ((mask >> (position % kWarp) & 1u) == 0) Fail("the lane is not in the mask of its collective");
  self.operation = operation;
  self.mask = mask;
  self.data = data;
  self.combine = combine;
  const std::size_t first = position / kWarp * kWarp;
  void* lanes[kWarp] = {};
  for (std::size_t lane = 0; lane < kWarp && first + lane < g_block->threads.size(); ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    const Thread& thread = g_block->threads[first + lane];
    if (thread.combine != combine || thread.mask != mask || thread.operation != operation) {
      Yield(self);  // the last one to come combines
      return;
    }
    lanes[lane] = thread.data;
  }
  combine(lanes);
  for (std::size_t lane = 0; lane < kWarp; ++lane) {
    if (lanes[lane] == nullptr) continue;
    g_block->threads[first + lane].operation = nullptr;
    g_block->threads[first + lane].combine = nullptr;
  }
}

void WaitUntil(const char* operation, const std::function<bool()>& is_ready) {
  if (is_ready()) return;
  Thread& self = Running();
  self.operation = operation;
  self.is_ready = &is_ready;
  Yield(self);
}

ThreadCopies& RunningCopies() { return Running().copies; }
BulkLoads& RunningLoads() {
  Running();
  return g_block->loads;
}

}  // namespace sparseserve::kernels::cuda::emulation
