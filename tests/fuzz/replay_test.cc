// The fuzz targets without a fuzzer: their corpora, and each file with some bytes changed, cut off
// or doubled. What scripts/fuzz finds is kept in tests/fuzz/corpus/TARGET.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "sim/core/rng.h"
#include "tests/fuzz/targets.h"
#include "tests/temporary_directory.h"

namespace sparseserve::fuzz {
namespace {

constexpr std::size_t kMaxBytes =
    20'000;  // of a file that is changed; the interesting is at the front

std::vector<std::string> FilesOf(const Target& target) {
  std::vector<std::string> files;
  std::vector<std::string> places = target.corpora;
  places.push_back("tests/fuzz/corpus/" + target.name);
  for (const std::string& place : places) {
    if (!std::filesystem::exists(place)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
      if (entry.is_regular_file()) files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

std::string Changed(std::string text, RandomStream& random) {
  const auto at = [&] {
    return static_cast<std::size_t>(
        random.UniformInt(0, static_cast<std::int64_t>(text.size()) - 1));
  };
  for (std::int64_t changes = random.UniformInt(1, 4); changes > 0 && !text.empty(); --changes) {
    const std::size_t from = at(), size = std::min<std::size_t>(at() % 40 + 1, text.size() - from);
    switch (random.UniformInt(0, 5)) {
      case 0:
        text[from] = static_cast<char>(random.UniformInt(0, 255));
        break;
      case 1:
        text.resize(from);
        break;
      case 2:
        text.erase(from, size);
        break;
      case 3:
        text.insert(at(), text.substr(from, size));
        break;
      case 4:
        text.insert(from, "-99999999999999999999");
        break;
      default:
        std::swap(text[from], text[at()]);
        break;
    }
  }
  return text;
}

class ReplayTest : public ::testing::TestWithParam<Target> {};

TEST_P(ReplayTest, EndsOrRefusesWhateverTheBytes) {
  const Target& target = GetParam();
  const std::vector<std::string> files = FilesOf(target);
  ASSERT_FALSE(files.empty());
  RandomStream random(1, "fuzz " + target.name);
  const char* changes = std::getenv("SPARSESERVE_FUZZ_CHANGES");  // of all files together
  const std::size_t rounds =
      (changes == nullptr ? 150 : std::strtoul(changes, nullptr, 10)) / files.size() + 1;
  for (const std::string& file : files) {
    SCOPED_TRACE(file);
    std::string text = test::ReadFile(file);
    target.run(text);
    text.resize(std::min(text.size(), kMaxBytes));
    for (std::size_t i = 0; i < rounds; ++i) target.run(Changed(text, random));
  }
  target.run("");
}

std::string NameOf(const ::testing::TestParamInfo<Target>& target) { return target.param.name; }

INSTANTIATE_TEST_SUITE_P(Fuzz, ReplayTest, ::testing::ValuesIn(Targets()), NameOf);

}  // namespace
}  // namespace sparseserve::fuzz
