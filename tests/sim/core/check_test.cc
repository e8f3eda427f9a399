#include "sim/core/check.h"

#include <gtest/gtest.h>

namespace sparseserve {
namespace {

TEST(CheckTest, ABrokenInvariantAbortsWithFileExpressionAndDetail) {
  const int free_blocks = 3;
  EXPECT_DEATH(SPARSESERVE_CHECK(free_blocks == 4, "a block is lost"),
               "check_test\\.cc:[0-9]+: check failed: free_blocks == 4 \\(a block is lost\\)");
}

TEST(CheckTest, AHoldingInvariantIsEvaluatedOnce) {
  int calls = 0;
  SPARSESERVE_CHECK(++calls > 0, "");
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace sparseserve
