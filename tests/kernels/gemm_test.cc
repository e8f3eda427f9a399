// Matrix products against the reference; on a CPU also that an element's bits depend on its row
// and column of the operands alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/kernels/backend_test.h"

namespace sparseserve::kernels {
namespace {

struct GemmCase {
  GemmParams shape;  // pointers unset
  Mirror x, w, y;

  GemmParams On(Side side) {
    GemmParams params = shape;
    params.x = x.On(side);
    params.w = w.On(side);
    params.y = y.On(side);
    return params;
  }
};

class GemmTest : public BackendTest {
 protected:
  GemmCase MakeGemm(std::int64_t m, std::int64_t n, std::int64_t k, bool accumulate = false) {
    return {.shape = {.type = type(), .m = m, .n = n, .k = k, .accumulate = accumulate},
            .x = MakeRandom(m * k),
            .w = MakeRandom(n * k),
            .y = accumulate ? MakeRandom(m * n, 4) : MakePoisonedElements(m * n)};
  }
};

TEST_P(GemmTest, ProductsOfEveryShape) {
  struct Shape {
    std::int64_t m, n, k;
  };
  std::vector<Shape> shapes = {{0, 8, 8},    {1, 1, 8},    {1, 72, 64},  {2, 65, 128}, {3, 40, 72},
                               {4, 64, 264}, {7, 130, 88}, {9, 16, 512}, {33, 24, 136}};
  if (IsCpu()) {  // cuBLAS wants rows of 16 bytes; here any length goes
    shapes.insert(shapes.end(),
                  {{1, 9, 1}, {5, 3, 7}, {12, 70, 1025}, {300, 5, 19}, {6, 11, 2100}});
  }
  for (const Shape& shape : shapes) {
    for (const bool accumulate : {false, true}) {
      GemmCase gemm = MakeGemm(shape.m, shape.n, shape.k, accumulate);
      const std::string what = std::to_string(shape.m) + " x " + std::to_string(shape.n) + " x " +
                               std::to_string(shape.k) + (accumulate ? ", accumulated" : "");
      backend_->Gemm(gemm.On(Side::kDevice));
      const auto bytes = ReadBytes(gemm.y);
      ExpectNear(reference::Gemm(gemm.On(Side::kHost)), ReadElements(gemm.y), what);
      if (HasFatalFailure()) return;
      Reset(gemm.y);
      backend_->Gemm(gemm.On(Side::kDevice));
      EXPECT_EQ(ReadBytes(gemm.y), bytes) << what << ", a second run";
    }
  }
}

TEST_P(GemmTest, OfNoChannelsIsZero) {
  if (!IsCpu()) GTEST_SKIP() << "cuBLAS is not called without channels";
  GemmCase gemm = MakeGemm(3, 5, 0);
  backend_->Gemm(gemm.On(Side::kDevice));
  EXPECT_EQ(ReadElements(gemm.y), std::vector<double>(15, 0));
}

TEST_P(GemmTest, ARowDoesNotDependOnTheOthers) {
  if (!IsCpu()) GTEST_SKIP() << "cuBLAS chooses its kernel by the number of rows";
  const std::int64_t n = 70, k = 1100;
  GemmCase gemm = MakeGemm(300, n, k);
  backend_->Gemm(gemm.On(Side::kDevice));
  const auto whole = ReadBytes(gemm.y);
  const std::int64_t x_bytes = k * ElementBytes(type()), y_bytes = n * ElementBytes(type());
  for (const std::int64_t num_rows : {1, 2, 3, 5, 8, 31, 290}) {
    const std::int64_t first = 300 - num_rows - 3;
    GemmParams part = gemm.On(Side::kDevice);
    part.m = num_rows;
    part.x = gemm.x.On<std::byte>(Side::kDevice) + first * x_bytes;
    part.y = gemm.y.On<std::byte>(Side::kDevice) + first * y_bytes;
    Reset(gemm.y);
    backend_->Gemm(part);
    const auto rows = ReadBytes(gemm.y);
    EXPECT_TRUE(std::equal(rows.begin() + first * y_bytes,
                           rows.begin() + (first + num_rows) * y_bytes,
                           whole.begin() + first * y_bytes))
        << num_rows << " rows";
  }
}

TEST_P(GemmTest, TheNumberOfThreadsChangesNoBit) {
  if (!IsCpu()) GTEST_SKIP() << "about threads of a CPU";
  std::vector<std::vector<std::byte>> results;
  for (const int num_threads : {1, 3}) {
    backend_ = MakeTestBackend(GetParam().backend, num_threads);
    random_ = RandomStream(7, "threads");
    GemmCase gemm = MakeGemm(37, 201, 1111);
    backend_->Gemm(gemm.On(Side::kDevice));
    results.push_back(ReadBytes(gemm.y));
  }
  EXPECT_EQ(results[0], results[1]);
}

INSTANTIATE_TEST_SUITE_P(Backends, GemmTest, testing::ValuesIn(ListBackendCases()), NameCase);

}  // namespace
}  // namespace sparseserve::kernels
