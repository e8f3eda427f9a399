#include "kernels/pinned_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <new>
#include <vector>

namespace sparseserve::kernels {
namespace {

constexpr Bytes kHugePage{std::int64_t{2} << 20};

// `page` is the begin of a page.
bool IsMapped(void* page) {
  unsigned char resident = 0;
  return mincore(page, 1, &resident) == 0 || errno != ENOMEM;
}

TEST(PinnedPoolTest, MemoryIsAlignedZeroAndUsable) {
  for (const bool huge_pages : {false, true}) {
    PinnedPool pool({.touch_threads = 3, .huge_pages = huge_pages});
    for (const Bytes size : {Bytes(0), Bytes(1), Bytes(4096), Bytes(100'000), kHugePage,
                             kHugePage + Bytes(1), kHugePage * 3}) {
      const Buffer buffer = pool.Allocate(size);
      EXPECT_EQ(buffer.size(), size);
      const auto address = reinterpret_cast<std::uintptr_t>(buffer.data());
      EXPECT_EQ(address % (size >= kHugePage ? std::uintptr_t{2} << 20 : 4096u), 0u);
      for (std::int64_t i = 0; i < size.value(); ++i) {
        ASSERT_EQ(buffer.data()[i], std::byte{0}) << i;
        buffer.data()[i] = std::byte{0xff};
      }
    }
  }
}

TEST(PinnedPoolTest, EveryPageIsTouched) {
  PinnedPool pool({.touch_threads = 3});
  const Buffer buffer = pool.Allocate(kHugePage * 2 + Bytes(1));
  std::vector<unsigned char> resident(1025);
  ASSERT_EQ(mincore(buffer.data(), resident.size() * 4096, resident.data()), 0);
  EXPECT_THAT(resident, testing::Each(testing::Truly([](unsigned char x) { return x & 1; })));
}

TEST(PinnedPoolTest, FreesWhatItMapped) {
  PinnedPool pool({});
  for (const Bytes size : {Bytes(5000), kHugePage + Bytes(1)}) {
    Buffer buffer = pool.Allocate(size);
    std::byte* const data = buffer.data();
    std::byte* const last = data + (size.value() - 1) / 4096 * 4096;
    EXPECT_TRUE(IsMapped(data) && IsMapped(last));
    buffer = Buffer();
    EXPECT_FALSE(IsMapped(data));
    EXPECT_FALSE(IsMapped(last));
  }
}

TEST(PinnedPoolTest, RegistersBeforeUseAndForgetsBeforeUnmapping) {
  void* registered = nullptr;
  Bytes registered_size;
  int num_forgotten = 0;
  Buffer buffer;
  {
    PinnedPool pool({.register_range =
                         [&](void* data, Bytes size) {
                           registered = data;
                           registered_size = size;
                         },
                     .unregister_range =
                         [&](void* data) {
                           EXPECT_EQ(data, registered);
                           EXPECT_TRUE(IsMapped(data));
                           ++num_forgotten;
                         }});
    buffer = pool.Allocate(Bytes(5000));
  }
  EXPECT_EQ(registered, buffer.data());
  EXPECT_EQ(registered_size, Bytes(8192));
  EXPECT_EQ(num_forgotten, 0);  // a buffer may outlive its pool
  buffer = Buffer();
  EXPECT_EQ(num_forgotten, 1);
  EXPECT_FALSE(IsMapped(registered));
}

TEST(PinnedPoolTest, FailedRegistrationUnmaps) {
  void* refused = nullptr;
  PinnedPool pool({.register_range =
                       [&](void* data, Bytes) {
                         refused = data;
                         throw DeviceError("refused");
                       },
                   .unregister_range = [](void*) { ADD_FAILURE() << "was never registered"; }});
  EXPECT_THROW(pool.Allocate(Bytes(5000)), DeviceError);
  EXPECT_FALSE(IsMapped(refused));
}

TEST(PinnedPoolTest, TooMuchIsBadAlloc) {
  PinnedPool pool({});
  EXPECT_THROW(pool.Allocate(Bytes(INT64_MAX)), std::bad_alloc);
  EXPECT_THROW(pool.Allocate(Bytes(std::int64_t{1} << 60)), std::bad_alloc);
}

TEST(PinnedPoolTest, SaysWhichNodeItCouldNotBindTo) {
  PinnedPool pool({.numa_node = 1023});
  const Buffer first = pool.Allocate(Bytes(4096));
  const Buffer second = pool.Allocate(Bytes(4096));
  first.data()[0] = second.data()[0] = std::byte{1};  // usable nevertheless
  EXPECT_THAT(pool.remarks(), testing::StartsWith("not bound to NUMA node 1023: "));
  EXPECT_THAT(pool.remarks(), testing::Not(testing::HasSubstr(";")));  // said once
  PinnedPool other({});
  other.Allocate(Bytes(4096));
  EXPECT_EQ(other.remarks(), "");
}

TEST(NumaTest, ReadsIndexLists) {
  EXPECT_THAT(ParseIndexList("0"), testing::ElementsAre(0));
  EXPECT_THAT(ParseIndexList("0-2,5,7-8"), testing::ElementsAre(0, 1, 2, 5, 7, 8));
  EXPECT_THAT(ParseIndexList(""), testing::IsEmpty());
  EXPECT_THAT(ParseIndexList("none"), testing::IsEmpty());
}

TEST(NumaTest, TheCallerRunsOnANodeThatIsOnline) {
  EXPECT_THAT(FindNumaNodes(), testing::Contains(FindCurrentNumaNode()));
}

}  // namespace
}  // namespace sparseserve::kernels
