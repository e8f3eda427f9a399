// SQLite with owners: statements and connections close themselves, every return code is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

struct sqlite3;
struct sqlite3_stmt;

namespace sparseserve::plan {

class Statement {
 public:
  Statement(sqlite3* db, const char* sql, const std::string& path);
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Parameters count from 1. NaN is stored as NULL.
  Statement& Bind(int index, const std::string& value);
  Statement& Bind(int index, std::int64_t value);
  Statement& Bind(int index, double value);
  // Runs to the next row; false when there is none left. Throws InputError when the file turns out
  // to be damaged, std::runtime_error for what else goes wrong (no space, no permission).
  bool Step();
  // Runs a statement without rows, and makes it ready for the next parameters.
  void Run();

  // Columns count from 0.
  std::string Text(int column) const;
  std::int64_t Integer(int column) const;
  double Real(int column) const;  // NULL is NaN

 private:
  void Check(int code) const;

  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  const std::string& path_;
};

class Database {
 public:
  // Opens or creates the file.
  explicit Database(const std::string& path);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  void Execute(const char* sql);
  Statement Prepare(const char* sql) { return Statement(db_, sql, path_); }
  std::int64_t Pragma(const char* sql);  // the integer that it returns
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  sqlite3* db_ = nullptr;
};

// Between its birth and Commit() all changes are one; without Commit() none remains.
class Transaction {
 public:
  explicit Transaction(Database& db) : db_(db) { db_.Execute("BEGIN IMMEDIATE"); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void Commit();

 private:
  Database& db_;
  bool open_ = true;
};

}  // namespace sparseserve::plan
