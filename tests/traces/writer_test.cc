#include "traces/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <system_error>

#include "tests/traces/test_traces.h"
#include "traces/generator.h"
#include "traces/reader.h"

namespace sparseserve::traces {
namespace {

using ::testing::HasSubstr;

std::vector<Request> Workload() {
  SyntheticOptions options;
  options.prompt = {LengthKind::kLogNormal, 3000, 3000};
  options.num_requests = 500;
  options.arrivals.rate_per_s = 1e-3;  // long enough for 64-bit nanoseconds to matter
  return ReadAll(GenerateSynthetic(options));
}

class FailingStream : public RequestStream {
 public:
  std::optional<Request> Next() override {
    if (num_left_-- > 0) return Request{0, SimTime(0), Tokens(1), Tokens(1)};
    throw InputError({{"x", 3}, "", "broken", "", ""});
  }

 private:
  int num_left_ = 2;
};

std::size_t NumFilesLike(const std::string& path) {
  const std::filesystem::path wanted(path);
  std::size_t num_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(wanted.parent_path())) {
    num_files += entry.path().filename().string().starts_with(wanted.filename().string()) ? 1 : 0;
  }
  return num_files;
}

TEST(WriteTraceTest, SparseServeFilesReadBackExactly) {
  const auto requests = Workload();
  const TestFile file;
  VectorStream source(requests);
  EXPECT_EQ(WriteTrace(source, file.path()), 500);
  const auto read = ReadAll(OpenTrace(file.path()));
  ASSERT_EQ(read.size(), requests.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].arrival, requests[i].arrival);
    EXPECT_EQ(read[i].prompt, requests[i].prompt);
    EXPECT_EQ(read[i].output, requests[i].output);
  }
}

TEST(WriteTraceTest, MooncakeFilesReadBackToTheMillisecond) {
  const auto requests = Workload();
  const TestFile file;
  VectorStream source(requests);
  WriteOptions write;
  write.format = Format::kMooncake;
  write.mooncake_block_tokens = Tokens(64);
  WriteTrace(source, file.path(), write);
  ReadOptions read_options;
  read_options.mooncake_block_tokens = Tokens(64);
  read_options.strict = true;
  const auto read = ReadAll(OpenTrace(file.path(), read_options));
  ASSERT_EQ(read.size(), requests.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_LE(std::abs(read[i].arrival.ns() - requests[i].arrival.ns()), 500'000);
    EXPECT_EQ(read[i].prompt, requests[i].prompt);
    EXPECT_EQ(read[i].output, requests[i].output);
  }
}

TEST(WriteTraceTest, WritesTheseBytes) {
  const TestFile file;
  std::vector<Request> requests = {{0, SimTime(1'500'000), Tokens(3), Tokens(7)},
                                   {1, SimTime(12'000'000'001), Tokens(2), Tokens(8)}};
  VectorStream csv(requests);
  WriteTrace(csv, file.path());
  EXPECT_EQ(file.Read(),
            "arrival_s,prompt_tokens,output_tokens\n0.001500000,3,7\n12.000000001,2,8\n");
  VectorStream json(requests);
  WriteTrace(json, file.path(), {Format::kMooncake, Tokens(2)});
  EXPECT_EQ(file.Read(),
            R"({"timestamp": 2, "input_length": 3, "output_length": 7, "hash_ids": [0, 1]})"
            "\n"
            R"({"timestamp": 12000, "input_length": 2, "output_length": 8, "hash_ids": [2]})"
            "\n");
}

TEST(WriteTraceTest, AFailingSourceLeavesTheOldFileAndNothingElse) {
  const TestFile file("old");
  FailingStream source;
  EXPECT_THROW(WriteTrace(source, file.path()), InputError);
  EXPECT_EQ(file.Read(), "old");
  EXPECT_EQ(NumFilesLike(file.path()), 1U);
}

TEST(WriteTraceTest, AFailingSystemIsASystemErrorWithThePath) {
  VectorStream source({});
  try {
    WriteTrace(source, "no/such/folder/trace.csv");
    FAIL() << "no error";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(error.what(), HasSubstr("no/such/folder/trace.csv"));
  }
  // The target is a folder: writing works, the rename does not.
  const std::string folder =
      ::testing::TempDir() + "sparseserve_folder_" + std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/x") << "x";
  EXPECT_THROW(WriteTrace(source, folder), std::system_error);
  EXPECT_EQ(NumFilesLike(folder), 1U) << "no temporary file is left";
  std::filesystem::remove_all(folder);
}

TEST(WriteTraceTest, NamesTheFormatsThatAreWritten) {
  VectorStream source({});
  EXPECT_THAT(ErrorOf([&] { WriteTrace(source, "x", {Format::kAzure}); }),
              HasSubstr("format: 'azure' is not written; expected sparseserve or mooncake"));
  EXPECT_THAT(ErrorOf([&] {
                WriteTrace(source, "x", {Format::kMooncake, Tokens(0)});
              }),
              HasSubstr("mooncake_block_tokens: 0"));
}

}  // namespace
}  // namespace sparseserve::traces
