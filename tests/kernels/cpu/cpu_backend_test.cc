#include "kernels/cpu/cpu_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace sparseserve::kernels::cpu {
namespace {

// Holds the copies of one lane until it is opened.
class Gate {
 public:
  std::function<void(Lane)> Hold(Lane held) {
    return [held, opened = opened_.get_future().share()](Lane lane) {
      if (lane == held) opened.wait();
    };
  }
  void Open() { opened_.set_value(); }

 private:
  std::promise<void> opened_;
};

TEST(CpuBackendTest, ABlockedLaneDoesNotHoldTheOthers) {
  Gate gate;
  CpuBackend backend({}, {.before_copy = gate.Hold(Lane::kH2d)});
  const Buffer memory = backend.AllocateDevice(Bytes(100));
  backend.Fill(Lane::kH2d, memory.data(), std::byte{1}, Bytes(50));
  const EventPtr blocked = backend.Record(Lane::kH2d);
  backend.Fill(Lane::kD2h, memory.data() + 50, std::byte{2}, Bytes(25));
  backend.Fill(Lane::kCompute, memory.data() + 75, std::byte{3}, Bytes(25));
  backend.Record(Lane::kD2h)->Synchronize();
  backend.Record(Lane::kCompute)->Synchronize();
  EXPECT_FALSE(blocked->IsDone());
  EXPECT_EQ(memory.data()[0], std::byte{0});
  EXPECT_EQ(memory.data()[74], std::byte{2});
  EXPECT_EQ(memory.data()[99], std::byte{3});
  gate.Open();
  blocked->Synchronize();
  EXPECT_EQ(memory.data()[49], std::byte{1});
}

TEST(CpuBackendTest, ALaneWaitsForAnEventOfAnother) {
  Gate gate;
  CpuBackend backend({}, {.before_copy = gate.Hold(Lane::kH2d)});
  const Buffer memory = backend.AllocateDevice(Bytes(64));
  const EventPtr free = backend.Record(Lane::kCompute);
  backend.Fill(Lane::kH2d, memory.data(), std::byte{1}, Bytes(64));
  backend.Wait(Lane::kCompute, backend.Record(Lane::kH2d));
  backend.Copy(Lane::kCompute, memory.data() + 32, memory.data(), Bytes(16));
  const EventPtr waiting = backend.Record(Lane::kCompute);
  free->Synchronize();
  EXPECT_FALSE(waiting->IsDone());
  gate.Open();
  waiting->Synchronize();
  EXPECT_EQ(memory.data()[47], std::byte{1});
}

TEST(CpuBackendTest, AStagedSaveFreesTheLaneBeforeItsScatter) {
  std::promise<void> gate;
  CpuBackend backend({},
                     {.before_scatter = [opened = gate.get_future().share()] { opened.wait(); }});
  const Buffer hbm = backend.AllocateDevice(Bytes(64));
  const Buffer dram = backend.AllocateHost(Bytes(64));
  backend.Fill(Lane::kD2h, hbm.data(), std::byte{7}, Bytes(64));
  const FragmentMove move{0, 16};
  const EventPtr saved = backend.Save(Lane::kD2h, SaveMethod::kStaged,
                                      {.hbm = hbm.data(),
                                       .dram = dram.data(),
                                       .fragment_bytes = 32,
                                       .moves = &move,
                                       .num_moves = 1});
  backend.Record(Lane::kD2h)->Synchronize();
  EXPECT_FALSE(saved->IsDone());
  EXPECT_EQ(dram.data()[16], std::byte{0});
  backend.Wait(Lane::kCompute, saved);  // a save's event orders lanes too
  backend.Copy(Lane::kCompute, dram.data() + 48, dram.data() + 32, Bytes(16));
  gate.set_value();
  backend.Synchronize();
  EXPECT_EQ(dram.data()[47], std::byte{7});
  EXPECT_EQ(dram.data()[63], std::byte{7});
}

TEST(CpuBackendTest, AnErrorOfATaskIsThrownByLaterCallsOfItsLane) {
  CpuBackend backend({}, {.before_copy = [](Lane lane) {
                       if (lane == Lane::kH2d) throw DeviceError("injected");
                     }});
  const Buffer memory = backend.AllocateDevice(Bytes(64));
  backend.Fill(Lane::kH2d, memory.data(), std::byte{1}, Bytes(64));
  const auto record = [&] { backend.Record(Lane::kH2d)->Synchronize(); };
  EXPECT_THROW(record(), DeviceError);
  EXPECT_THROW(backend.Fill(Lane::kH2d, memory.data(), std::byte{1}, Bytes(64)), DeviceError);
  EXPECT_THROW(backend.Synchronize(), DeviceError);
  EXPECT_EQ(memory.data()[0], std::byte{0});
  backend.Fill(Lane::kD2h, memory.data(), std::byte{2}, Bytes(64));
  backend.Record(Lane::kD2h)->Synchronize();
  EXPECT_EQ(memory.data()[63], std::byte{2});
}

TEST(CpuBackendTest, ALaneThatWaitsForAFailedOneFails) {
  Gate gate;
  CpuBackend backend({}, {.before_copy = [hold = gate.Hold(Lane::kH2d)](Lane lane) {
                       hold(lane);
                       if (lane == Lane::kH2d) throw DeviceError("injected");
                     }});
  const Buffer memory = backend.AllocateDevice(Bytes(64));
  backend.Fill(Lane::kH2d, memory.data(), std::byte{1}, Bytes(64));
  backend.Wait(Lane::kCompute, backend.Record(Lane::kH2d));
  backend.Copy(Lane::kCompute, memory.data(), memory.data() + 32, Bytes(16));
  const EventPtr end = backend.Record(Lane::kCompute);
  gate.Open();
  EXPECT_THROW(end->Synchronize(), DeviceError);
}

TEST(CpuBackendTest, AFailedCopyFailsItsStagedSave) {
  Gate gate;
  CpuBackend backend({}, {.before_copy = [hold = gate.Hold(Lane::kD2h)](Lane lane) {
                       hold(lane);
                       throw DeviceError("injected");
                     }});
  const Buffer hbm = backend.AllocateDevice(Bytes(64));
  const Buffer dram = backend.AllocateHost(Bytes(64));
  const FragmentMove move{0, 0};
  const EventPtr saved = backend.Save(Lane::kD2h, SaveMethod::kStaged,
                                      {.hbm = hbm.data(),
                                       .dram = dram.data(),
                                       .fragment_bytes = 64,
                                       .moves = &move,
                                       .num_moves = 1});
  gate.Open();
  EXPECT_THROW(saved->Synchronize(), DeviceError);
  EXPECT_THROW(backend.Synchronize(), DeviceError);
}

TEST(CpuBackendTest, DestructionCompletesWhatWasEnqueued) {
  Buffer memory;
  EventPtr end;
  {
    CpuBackend backend({}, {.before_copy = [](Lane) { std::this_thread::yield(); }});
    memory = backend.AllocateHost(Bytes(1000));
    for (int i = 0; i < 1000; ++i) {
      const Lane lane = static_cast<Lane>(i % kNumLanes);
      backend.Fill(lane, memory.data() + i, std::byte{1}, Bytes(1));
      end = backend.Record(lane);
      backend.Wait(static_cast<Lane>((i + 1) % kNumLanes), end);
    }
  }
  EXPECT_TRUE(end->IsDone());
  EXPECT_EQ(std::count(memory.data(), memory.data() + 1000, std::byte{1}), 1000);
}

TEST(CpuBackendTest, EventsOfALaneHaveRisingTimes) {
  CpuBackend backend({});
  std::vector<EventPtr> events;
  for (int i = 0; i < 100; ++i) events.push_back(backend.Record(Lane::kCompute));
  backend.Synchronize();
  for (std::size_t i = 1; i < events.size(); ++i) {
    EXPECT_GE(backend.Elapsed(events[i - 1], events[i]), Seconds(0));
    EXPECT_LE(backend.Elapsed(events[i], events[i - 1]), Seconds(0));
  }
}

TEST(BackendsTest, AnUnknownNameSaysWhichAreKnown) {
  try {
    MakeBackend("tpu", {});
    FAIL() << "nothing was thrown";
  } catch (const BackendUnavailable& error) {
    EXPECT_STREQ(error.what(), "backend 'tpu' is unknown (known: cpu, cuda)");
  }
  EXPECT_EQ(MakeBackend("cpu", {})->name(), "cpu");
  if (!HasCuda()) {
    EXPECT_THROW(MakeBackend("cuda", {}), BackendUnavailable);
  }
}

}  // namespace
}  // namespace sparseserve::kernels::cpu
