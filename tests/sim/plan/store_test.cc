// The store: what is kept survives, what is not ours or not sound is refused and left alone.
#include "sim/plan/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/core/error.h"
#include "sim/metrics/figures.h"

namespace sparseserve::plan {
namespace {

using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  StoreTest() : path_(testing::TempDir() + "store_test.sqlite") { std::filesystem::remove(path_); }
  ~StoreTest() override { std::filesystem::remove(path_); }

  std::string Bytes() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }
  void Sql(const char* statement) const {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, statement, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
  // What is said of the file when it is opened, which leaves it as it was.
  std::string Refusal(const std::string& kind = "sweep") const {
    const std::string before = Bytes();
    try {
      Store store(path_, kind, OpenMode::kCreate);
    } catch (const InputError& error) {
      EXPECT_EQ(Bytes(), before);
      return error.what();
    }
    return "not refused";
  }

  const std::string path_;
};

Outcome SomeOutcome(double base) {
  Outcome outcome;
  for (std::size_t i = 0; i < metrics::Figures().size(); ++i)
    outcome.figures.push_back(base + 0.1 * static_cast<double>(i));
  outcome.figures[3] = std::nan("");
  return outcome;
}

Sweep SomeSweep() {
  return {.name = "s",
          .axes = {"rate", "system"},
          .points = {{"k0", {"0.1/s", "vllm"}, 0, 1},
                     {"k1", {"0.1/s", "a,b"}, 0, 18446744073709551615ULL}},
          .contrast = "system",
          .metrics = {"mean_ttft_ms", "p99_itl_ms"}};
}

TEST_F(StoreTest, GivesBackWhatWasPut) {
  {
    Store store(path_, "sweep", OpenMode::kCreate);
    store.SetSweep(SomeSweep());
    store.Put("k0", SomeOutcome(1.0 / 3));
    store.Put("k1", {.feasible = false, .note = "too large", .figures = {}});
  }
  Store store(path_, "sweep", OpenMode::kExisting);
  const Sweep sweep = store.ReadSweep();
  EXPECT_EQ(sweep.axes, SomeSweep().axes);
  EXPECT_EQ(sweep.metrics, SomeSweep().metrics);
  ASSERT_EQ(sweep.points.size(), 2U);
  EXPECT_EQ(sweep.points[1].labels, SomeSweep().points[1].labels);
  EXPECT_EQ(sweep.points[1].seed, 18446744073709551615ULL);
  const Outcome found = store.Find("k0").value();
  const Outcome expected = SomeOutcome(1.0 / 3);
  for (std::size_t i = 0; i < expected.figures.size(); ++i) {
    if (i == 3) {
      EXPECT_TRUE(std::isnan(found.figures[i]));
    } else {
      EXPECT_EQ(found.figures[i], expected.figures[i]) << i;  // to the bit
    }
  }
  EXPECT_EQ(store.Find("k1")->note, "too large");
  EXPECT_FALSE(store.Find("k2"));
}

TEST_F(StoreTest, KeepsTheFirstResultOfAKey) {
  Store store(path_, "sweep", OpenMode::kCreate);
  store.Put("k", SomeOutcome(1));
  store.Put("k", SomeOutcome(2));
  EXPECT_EQ(store.Find("k")->figures[0], 1);
  EXPECT_EQ(store.num_results(), 1);
}

TEST_F(StoreTest, MergesResultsOfAnother) {
  const std::string other_path = path_ + ".other";
  Store store(path_, "sweep", OpenMode::kCreate);
  store.Put("a", SomeOutcome(1));
  {
    Store other(other_path, "sweep", OpenMode::kCreate);
    other.Put("a", SomeOutcome(1));
    other.Put("b", SomeOutcome(2));
    store.PutAll(other);
  }
  std::filesystem::remove(other_path);
  EXPECT_EQ(store.num_results(), 2);
  EXPECT_EQ(store.Find("b")->figures[0], 2);
}

TEST_F(StoreTest, AChangedSweepKeepsTheResults) {
  Store store(path_, "sweep", OpenMode::kCreate);
  store.SetSweep(SomeSweep());
  store.Put("k0", SomeOutcome(1));
  Sweep changed = SomeSweep();
  changed.points.pop_back();
  store.SetSweep(changed);
  EXPECT_EQ(store.ReadSweep().points.size(), 1U);
  EXPECT_TRUE(store.Find("k0"));
  changed.name = "another";
  EXPECT_THROW(store.SetSweep(changed), InputError);
  EXPECT_EQ(store.ReadSweep().name, "s");
}

TEST_F(StoreTest, RefusesWhatIsNoDatabase) {
  std::ofstream(path_) << "my valuable notes, longer than the header of a database file has to be, "
                          "which has a hundred bytes\n";
  EXPECT_THAT(Refusal(), HasSubstr("no sound store"));
}

TEST_F(StoreTest, RefusesTheDatabaseOfAnotherProgram) {
  Sql("CREATE TABLE mine(x); INSERT INTO mine VALUES(1)");
  EXPECT_THAT(Refusal(), HasSubstr("another program"));
}

TEST_F(StoreTest, RefusesAnotherFormatAndAnotherKind) {
  { Store store(path_, "sweep", OpenMode::kCreate); }
  EXPECT_THAT(Refusal("plan"), HasSubstr("is a store of a sweep, not of a plan"));
  Sql("PRAGMA user_version = 99");
  EXPECT_THAT(Refusal(), HasSubstr("has format 99"));
}

TEST_F(StoreTest, RefusesADamagedFile) {
  {
    Store store(path_, "sweep", OpenMode::kCreate);
    for (int i = 0; i < 50; ++i) store.Put("k" + std::to_string(i), SomeOutcome(i));
  }
  std::string bytes = Bytes();
  ASSERT_GT(bytes.size(), 40000U);
  for (std::size_t i = 9000; i < 30000; ++i) bytes[i] = static_cast<char>(i * 7);
  std::ofstream(path_, std::ios::binary) << bytes;
  EXPECT_THAT(Refusal(), testing::AnyOf(HasSubstr("damaged"), HasSubstr("no sound store")));
  // Cut off.
  std::ofstream(path_, std::ios::binary) << bytes.substr(0, 6000);
  EXPECT_THAT(Refusal(), testing::AnyOf(HasSubstr("damaged"), HasSubstr("no sound store")));
}

TEST_F(StoreTest, RefusesAResultThatWasEdited) {
  {
    Store store(path_, "sweep", OpenMode::kCreate);
    store.Put("k", SomeOutcome(1));
  }
  Sql("UPDATE figure SET value = value * 1.01 WHERE name = 'mean_ttft_ms'");
  Store store(path_, "sweep", OpenMode::kExisting);
  EXPECT_THROW(store.Find("k"), InputError);
}

TEST_F(StoreTest, AnEmptyFileIsANewStore) {
  std::ofstream(path_).flush();  // what a kill before the first commit leaves
  Store store(path_, "sweep", OpenMode::kCreate);
  store.Put("k", SomeOutcome(1));
  EXPECT_EQ(store.num_results(), 1);
}

TEST_F(StoreTest, AMissingFileIsOnlyMadeOnRequest) {
  EXPECT_THROW(Store(path_, "sweep", OpenMode::kExisting), InputError);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace sparseserve::plan
