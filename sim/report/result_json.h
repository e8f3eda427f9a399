// Strict access to the JSON of a result that anyone may have written: every failure names the file
// and the key. Private to sim/report.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "sim/core/error.h"

namespace sparseserve::report {

class ResultJson {
 public:
  using Json = nlohmann::json;

  // An object of the file, with the path that leads to it ("kv", "records.request_latency").
  ResultJson(const Json& object, std::string file, std::string path = "")
      : object_(&object), file_(std::move(file)), path_(std::move(path)) {}

  bool Has(const std::string& key) const { return object_->contains(key); }
  bool HasObject(const std::string& key) const;
  ResultJson Object(const std::string& key) const;
  // Finite and not negative.
  double Number(const std::string& key) const;
  double Count(const std::string& key) const;  // an integer up to 2^53
  // The same; nothing where the key is missing or null.
  std::optional<double> FindNumber(const std::string& key) const;
  std::optional<double> FindCount(const std::string& key) const;
  // One line of text; that of an integer too, and of the first entry of a list. Empty where the key
  // is missing or null.
  std::string FindText(const std::string& key) const;
  // The mean of a list of numbers; nothing where the key is missing, null or empty, or where the
  // list has another size.
  std::optional<double> FindMean(const std::string& key, double size) const;

  const std::string& file() const { return file_; }
  [[noreturn]] void Fail(const std::string& key, std::string what, std::string expected = "") const;

 private:
  const Json& Value(const std::string& key) const;
  double ToNumber(const std::string& key, const Json& value) const;

  const Json* object_;
  std::string file_;
  std::string path_;
};

// One JSON object, or the last of several that stand one to a line.
struct ResultFile {
  ResultJson::Json json;
  std::int64_t num_objects = 1;
};

// Throws InputError for what is no such file, is larger than 256 MiB, nested too deeply or repeats
// a key.
ResultFile LoadResult(const std::string& path);

}  // namespace sparseserve::report
