#include "kernels/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

namespace sparseserve::kernels {
namespace {

using Range = std::pair<std::int64_t, std::int64_t>;

std::vector<Range> RecordRanges(ThreadPool& pool, std::int64_t count, int max_threads = 0) {
  std::mutex mutex;
  std::vector<Range> ranges;
  pool.ParallelFor(
      count,
      [&](std::int64_t begin, std::int64_t end) {
        const std::lock_guard lock(mutex);
        ranges.emplace_back(begin, end);
      },
      max_threads);
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

TEST(ThreadPoolTest, RangesCoverEveryIndexOnce) {
  for (const int num_threads : {1, 2, 3, 8}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    for (const std::int64_t count : {0, 1, 2, 3, 7, 8, 9, 1000}) {
      std::int64_t next = 0;
      const std::vector<Range> ranges = RecordRanges(pool, count);
      EXPECT_LE(ranges.size(), static_cast<std::size_t>(num_threads));
      for (const auto& [begin, end] : ranges) {
        EXPECT_EQ(begin, next);
        EXPECT_GT(end, begin);
        next = end;
      }
      EXPECT_EQ(next, count) << num_threads;
    }
  }
}

TEST(ThreadPoolTest, RangesDependOnTheCountAlone) {
  ThreadPool pool(4);
  EXPECT_THAT(RecordRanges(pool, 10),
              testing::ElementsAre(Range(0, 3), Range(3, 6), Range(6, 8), Range(8, 10)));
  EXPECT_THAT(RecordRanges(pool, 3), testing::ElementsAre(Range(0, 1), Range(1, 2), Range(2, 3)));
  const std::int64_t huge = INT64_MAX;  // no product overflows
  EXPECT_EQ(RecordRanges(pool, huge).back().second, huge);
}

TEST(ThreadPoolTest, AtMostTheThreadsAskedForTakePart) {
  ThreadPool pool(4);
  EXPECT_THAT(RecordRanges(pool, 10, 2), testing::ElementsAre(Range(0, 5), Range(5, 10)));
  EXPECT_THAT(RecordRanges(pool, 10, 1), testing::ElementsAre(Range(0, 10)));
  EXPECT_EQ(RecordRanges(pool, 10, 9).size(), 4u);
}

TEST(ThreadPoolTest, GrowsBetweenLoops) {
  ThreadPool pool(1);
  for (const int num_threads : {2, 5, 3}) {
    pool.Grow(num_threads);
    EXPECT_EQ(RecordRanges(pool, 100).size(), static_cast<std::size_t>(pool.num_threads()));
  }
  EXPECT_EQ(pool.num_threads(), 5);
}

TEST(ThreadPoolTest, RangesRunAtTheSameTime) {
  ThreadPool pool(3);
  std::atomic<int> num_inside = 0;
  pool.ParallelFor(3, [&](std::int64_t, std::int64_t) {
    ++num_inside;
    while (num_inside < 3) std::this_thread::yield();  // ends only if all three are inside
  });
  EXPECT_EQ(num_inside, 3);
}

TEST(ThreadPoolTest, RethrowsTheErrorOfTheLowestRangeAfterAllHaveEnded) {
  ThreadPool pool(4);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> num_ended = 0;
    try {
      pool.ParallelFor(4, [&](std::int64_t begin, std::int64_t) {
        ++num_ended;
        if (begin >= 1) throw std::runtime_error(std::to_string(begin));
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "1");
    }
    EXPECT_EQ(num_ended, 4);
  }
  EXPECT_EQ(RecordRanges(pool, 4).size(), 4u);
}

TEST(ThreadPoolTest, WhatARangeWroteIsVisibleAfterTheLoop) {
  ThreadPool pool(8);
  std::vector<std::int64_t> values(64);
  for (std::int64_t round = 1; round <= 2000; ++round) {
    pool.ParallelFor(64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) values[static_cast<std::size_t>(i)] += i;
    });
    ASSERT_EQ(values[63], 63 * round);
    ASSERT_EQ(values[1], round);
  }
}

}  // namespace
}  // namespace sparseserve::kernels
