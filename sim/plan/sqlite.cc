#include "sim/plan/sqlite.h"

#include <sqlite3.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "sim/core/error.h"

namespace sparseserve::plan {
namespace {

constexpr int kBusyMilliseconds = 60'000;  // another process may be storing a result

[[noreturn]] void Fail(sqlite3* db, int code, const std::string& path) {
  const std::string text = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  const int primary = code & 0xff;
  if (primary == SQLITE_NOTADB || primary == SQLITE_CORRUPT) {
    throw InputError({{path, 0, 0},
                      "",
                      "no sound store (" + text + ")",
                      "a store that 'sparseserve sweep' or 'plan' made",
                      "nothing was changed; name another file, or move this one away"});
  }
  // Of the environment: no permission, a full disk, a lock that another program keeps.
  const int error = db != nullptr ? sqlite3_system_errno(db) : 0;
  if (error != 0 && (primary == SQLITE_CANTOPEN || primary == SQLITE_IOERR))
    throw std::system_error(error, std::generic_category(), path);
  throw std::runtime_error(path + ": " + text);
}

}  // namespace

Statement::Statement(sqlite3* db, const char* sql, const std::string& path) : db_(db), path_(path) {
  Check(sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr));
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::Check(int code) const {
  if (code != SQLITE_OK) Fail(db_, code, path_);
}

Statement& Statement::Bind(int index, const std::string& value) {
  Check(sqlite3_bind_text(statement_, index, value.data(), static_cast<int>(value.size()),
                          SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::Bind(int index, std::int64_t value) {
  Check(sqlite3_bind_int64(statement_, index, value));
  return *this;
}

Statement& Statement::Bind(int index, double value) {
  Check(std::isnan(value) ? sqlite3_bind_null(statement_, index)
                          : sqlite3_bind_double(statement_, index, value));
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) Fail(db_, code, path_);
  return false;
}

void Statement::Run() {
  while (Step()) continue;
  Check(sqlite3_reset(statement_));
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return text == nullptr ? std::string() : std::string(text, size);
}

std::int64_t Statement::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Statement::Real(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL)
    return std::numeric_limits<double>::quiet_NaN();
  return sqlite3_column_double(statement_, column);
}

Database::Database(const std::string& path) : path_(path) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags, nullptr);
  try {
    if (code != SQLITE_OK) Fail(db_, code, path_);
    sqlite3_busy_timeout(db_, kBusyMilliseconds);
    // A crafted file must not run code of its own.
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
    Execute("PRAGMA synchronous = FULL");
    Execute("PRAGMA foreign_keys = ON");
  } catch (...) {
    sqlite3_close(db_);
    throw;
  }
}

Database::~Database() { sqlite3_close(db_); }

void Database::Execute(const char* sql) { Prepare(sql).Run(); }

std::int64_t Database::Pragma(const char* sql) {
  Statement statement = Prepare(sql);
  return statement.Step() ? statement.Integer(0) : 0;
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    db_.Execute("ROLLBACK");
  } catch (...) {  // the connection is lost; SQLite rolls back when the file is opened again
  }
}

void Transaction::Commit() {
  db_.Execute("COMMIT");
  open_ = false;
}

}  // namespace sparseserve::plan
