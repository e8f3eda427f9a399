#include "sim/plan/store.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <map>

#include "sim/core/atomic_file.h"
#include "sim/core/error.h"
#include "sim/core/hash.h"
#include "sim/metrics/figures.h"

namespace sparseserve::plan {
namespace {

constexpr std::int64_t kApplicationId = 0x53505356;  // "SPSV", in the header of the file
constexpr std::int64_t kFormat = 1;

constexpr const char* kTables[] = {
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE axis(position INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE point(ordinal INTEGER PRIMARY KEY, key TEXT NOT NULL, "
    "replication INTEGER NOT NULL, seed TEXT NOT NULL)",
    "CREATE TABLE label(ordinal INTEGER NOT NULL, axis INTEGER NOT NULL, value TEXT NOT NULL, "
    "PRIMARY KEY(ordinal, axis)) WITHOUT ROWID",
    "CREATE TABLE result(key TEXT PRIMARY KEY, feasible INTEGER NOT NULL, note TEXT NOT NULL, "
    "checksum INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE figure(key TEXT NOT NULL, name TEXT NOT NULL, value REAL, "
    "PRIMARY KEY(key, name)) WITHOUT ROWID",
};

[[noreturn]] void Refuse(const std::string& path, std::string what, std::string hint) {
  throw InputError({{path, 0, 0}, "", std::move(what), "", std::move(hint)});
}

// Over what the file holds, in no order: a later version may know more figures, or fewer.
class Checksum {
 public:
  Checksum(const std::string& key, bool feasible, const std::string& note)
      : sum_(HashCombine(HashCombine(HashBytes(key), HashBytes(note)), feasible ? 1 : 0)) {}
  void Add(std::string_view name, double value) {
    const std::uint64_t bits = std::isnan(value) ? 0 : std::bit_cast<std::uint64_t>(value);
    sum_ += HashCombine(HashBytes(name), bits);
  }
  std::int64_t value() const { return static_cast<std::int64_t>(sum_); }

 private:
  std::uint64_t sum_;
};

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string CheckedPath(const std::string& path, OpenMode mode) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::is_directory(path, error))
    Refuse(path, "is a directory", "name a file, such as out/mine.sqlite");
  if (mode == OpenMode::kExisting && !fs::exists(path, error))
    Refuse(path, "there is no such file", "make it with 'sparseserve sweep SWEEP.yaml --out FILE'");
  const fs::path folder = fs::path(path).parent_path();
  if (mode == OpenMode::kCreate && !folder.empty()) MakeOutputDirectory(folder.string());
  return path;
}

}  // namespace

Store::Store(const std::string& path, const std::string& kind, OpenMode mode)
    : db_(CheckedPath(path, mode)) {
  const bool is_new =
      db_.Pragma("PRAGMA schema_version") == 0 && db_.Pragma("PRAGMA application_id") == 0;
  if (is_new && mode == OpenMode::kExisting)
    Refuse(path, "is empty", "the sweep that was to fill it has not begun");
  if (is_new) CreateTables(kind);
  CheckIdentity(kind);
}

void Store::CreateTables(const std::string& kind) {
  Transaction transaction(db_);
  // Another process may have been faster.
  if (db_.Pragma("PRAGMA application_id") != 0) return;
  for (const char* table : kTables) db_.Execute(table);
  db_.Prepare("INSERT INTO meta VALUES('kind', ?)").Bind(1, kind).Run();
  db_.Execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
  db_.Execute(("PRAGMA user_version = " + std::to_string(kFormat)).c_str());
  transaction.Commit();
}

void Store::CheckIdentity(const std::string& kind) {
  const std::string& path = db_.path();
  const char* const elsewhere = "nothing was changed; name another file";
  if (db_.Pragma("PRAGMA application_id") != kApplicationId)
    Refuse(path, "is a database of another program", elsewhere);
  if (const std::int64_t format = db_.Pragma("PRAGMA user_version"); format != kFormat) {
    Refuse(path,
           "has format " + std::to_string(format) + ", this version knows format " +
               std::to_string(kFormat),
           elsewhere);
  }
  Statement check = db_.Prepare("PRAGMA quick_check(1)");
  std::string health = check.Step() ? check.Text(0) : "no answer";
  std::replace(health.begin(), health.end(), '\n', ' ');
  if (health != "ok")
    Refuse(path, "is damaged (" + health + ")",
           "nothing was changed; move it away and run the sweep again");
  Statement stored = db_.Prepare("SELECT value FROM meta WHERE name = 'kind'");
  const std::string found = stored.Step() ? stored.Text(0) : "nothing";
  if (found != kind) Refuse(path, "is a store of a " + found + ", not of a " + kind, elsewhere);
}

void Store::SetSweep(const Sweep& sweep) {
  Transaction transaction(db_);
  {
    Statement stored = db_.Prepare("SELECT value FROM meta WHERE name = 'sweep'");
    if (stored.Step() && stored.Text(0) != sweep.name) {
      Refuse(db_.path(), "holds the sweep '" + stored.Text(0) + "', not '" + sweep.name + "'",
             "nothing was changed; name another file");
    }
  }
  for (const char* table : {"DELETE FROM axis", "DELETE FROM point", "DELETE FROM label"})
    db_.Execute(table);
  Statement meta = db_.Prepare("INSERT OR REPLACE INTO meta VALUES(?, ?)");
  meta.Bind(1, std::string("sweep")).Bind(2, sweep.name).Run();
  meta.Bind(1, std::string("contrast")).Bind(2, sweep.contrast).Run();
  meta.Bind(1, std::string("metrics")).Bind(2, Join(sweep.metrics)).Run();
  Statement axis = db_.Prepare("INSERT INTO axis VALUES(?, ?)");
  for (std::size_t i = 0; i < sweep.axes.size(); ++i)
    axis.Bind(1, static_cast<std::int64_t>(i)).Bind(2, sweep.axes[i]).Run();
  Statement insert = db_.Prepare("INSERT INTO point VALUES(?, ?, ?, ?)");
  Statement label = db_.Prepare("INSERT INTO label VALUES(?, ?, ?)");
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    const SweepPoint& point = sweep.points[i];
    const auto ordinal = static_cast<std::int64_t>(i);
    insert.Bind(1, ordinal).Bind(2, point.key).Bind(3, point.replication);
    insert.Bind(4, std::to_string(point.seed)).Run();
    for (std::size_t a = 0; a < point.labels.size(); ++a)
      label.Bind(1, ordinal).Bind(2, static_cast<std::int64_t>(a)).Bind(3, point.labels[a]).Run();
  }
  transaction.Commit();
}

Sweep Store::ReadSweep() {
  Sweep sweep;
  std::map<std::string, std::string> meta;
  for (Statement row = db_.Prepare("SELECT name, value FROM meta"); row.Step();)
    meta[row.Text(0)] = row.Text(1);
  sweep.name = meta["sweep"];
  sweep.contrast = meta["contrast"];
  sweep.metrics = Split(meta["metrics"]);
  for (Statement row = db_.Prepare("SELECT name FROM axis ORDER BY position"); row.Step();)
    sweep.axes.push_back(row.Text(0));
  Statement row = db_.Prepare("SELECT ordinal, key, replication, seed FROM point ORDER BY ordinal");
  while (row.Step()) {
    SweepPoint& point = sweep.points.emplace_back();
    const bool in_order = row.Integer(0) + 1 == static_cast<std::int64_t>(sweep.points.size());
    point.key = row.Text(1);
    point.replication = row.Integer(2);
    point.seed = std::strtoull(row.Text(3).c_str(), nullptr, 10);
    point.labels.resize(sweep.axes.size());
    if (!in_order) Refuse(db_.path(), "lacks a point of its sweep", "run the sweep again");
  }
  Statement label = db_.Prepare("SELECT ordinal, axis, value FROM label");
  while (label.Step()) {
    const auto ordinal = static_cast<std::size_t>(label.Integer(0));
    const auto axis = static_cast<std::size_t>(label.Integer(1));
    if (ordinal >= sweep.points.size() || axis >= sweep.axes.size())
      Refuse(db_.path(), "has a label of no point", "run the sweep again");
    sweep.points[ordinal].labels[axis] = label.Text(2);
  }
  if (sweep.points.empty()) Refuse(db_.path(), "holds no sweep", "run 'sparseserve sweep' first");
  return sweep;
}

std::optional<Outcome> Store::Find(const std::string& key) {
  Outcome outcome;
  Statement row = db_.Prepare("SELECT feasible, note, checksum FROM result WHERE key = ?");
  row.Bind(1, key);
  if (!row.Step()) return std::nullopt;
  outcome.feasible = row.Integer(0) != 0;
  outcome.note = row.Text(1);
  Checksum checksum(key, outcome.feasible, outcome.note);
  if (outcome.feasible) outcome.figures.assign(metrics::Figures().size(), std::nan(""));
  Statement figure = db_.Prepare("SELECT name, value FROM figure WHERE key = ?");
  for (figure.Bind(1, key); figure.Step();) {
    checksum.Add(figure.Text(0), figure.Real(1));
    const auto index = metrics::FindFigure(figure.Text(0));
    if (index && outcome.feasible) outcome.figures[*index] = figure.Real(1);
  }
  if (checksum.value() != row.Integer(2)) {
    Refuse(db_.path(), "the result " + key + " does not match its checksum",
           "nothing was changed; move the file away and run the sweep again");
  }
  return outcome;
}

void Store::Insert(const std::string& key, const Outcome& outcome) {
  Statement exists = db_.Prepare("SELECT 1 FROM result WHERE key = ?");
  if (exists.Bind(1, key).Step()) return;
  Checksum checksum(key, outcome.feasible, outcome.note);
  Statement figure = db_.Prepare("INSERT INTO figure VALUES(?, ?, ?)");
  for (std::size_t i = 0; i < outcome.figures.size(); ++i) {
    const std::string name(metrics::Figures()[i].name);
    checksum.Add(name, outcome.figures[i]);
    figure.Bind(1, key).Bind(2, name).Bind(3, outcome.figures[i]).Run();
  }
  Statement result = db_.Prepare("INSERT INTO result VALUES(?, ?, ?, ?)");
  result.Bind(1, key).Bind(2, std::int64_t{outcome.feasible}).Bind(3, outcome.note);
  result.Bind(4, checksum.value()).Run();
}

void Store::Put(const std::string& key, const Outcome& outcome) {
  Transaction transaction(db_);
  Insert(key, outcome);
  transaction.Commit();
}

void Store::PutAll(Store& other) {
  Transaction transaction(db_);
  Statement keys = other.db_.Prepare("SELECT key FROM result ORDER BY key");
  while (keys.Step()) {
    const std::string key = keys.Text(0);
    Insert(key, *other.Find(key));
  }
  transaction.Commit();
}

std::int64_t Store::num_results() {
  Statement count = db_.Prepare("SELECT count(*) FROM result");
  return count.Step() ? count.Integer(0) : 0;
}

}  // namespace sparseserve::plan
