// Results of points in one SQLite file, which survives whatever happens to the program.
//
// (1) A result is stored in one transaction: it is there with all its figures, or not at all.
// (2) Results are known by the key of their point, so points that a changed sweep still has need no
//     second run; those that it no longer has stay and are not shown.
// (3) A file that is no store of ours, of another format or damaged is refused with InputError and
//     left as it is; so is a result whose checksum does not match its figures.
//
// The journal is SQLite's default (rollback), not the write-ahead log: a store is then one file at
// all times, can be copied, and lies on network file systems as well. A commit waits for the disk;
// points take seconds, so that does not show. Thread rule: one thread at a time. Several processes
// may use one store.
//
// Tables, for whoever reads them directly: axis(position, name); point(ordinal, key, replication,
// seed); label(ordinal, axis, value); result(key, feasible, note, checksum); figure(key, name,
// value).
#pragma once

#include <optional>
#include <string>

#include "sim/plan/sqlite.h"
#include "sim/plan/sweep.h"

namespace sparseserve::plan {

enum class OpenMode : std::uint8_t {
  kExisting,  // the file must be there
  kCreate,    // it is created if it is not
};

class Store {
 public:
  // `kind` is what the store is for: "sweep" or "plan". Throws InputError.
  Store(const std::string& path, const std::string& kind, OpenMode mode);

  // Makes `sweep` the one that the store shows. Throws InputError if it holds one of another name.
  void SetSweep(const Sweep& sweep);
  // Throws InputError if there is none.
  Sweep ReadSweep();

  std::optional<Outcome> Find(const std::string& key);
  // Keeps what is there already: equal keys have equal results.
  void Put(const std::string& key, const Outcome& outcome);
  // Takes over every result of another store that this one lacks. One transaction.
  void PutAll(Store& other);
  std::int64_t num_results();

 private:
  void CreateTables(const std::string& kind);
  void CheckIdentity(const std::string& kind);
  void Insert(const std::string& key, const Outcome& outcome);

  Database db_;
};

}  // namespace sparseserve::plan
