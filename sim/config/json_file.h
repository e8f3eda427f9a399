// Strict access to a JSON file: every failure names the file and the path of the key. A private
// header of the readers in this folder.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "sim/core/error.h"

namespace sparseserve::config {

// A value in a file, with the path that leads to it ("benchmarks[3].items").
class JsonValue {
 public:
  using Json = nlohmann::json;

  // Throws InputError for a file that cannot be read, is no JSON, or is no object.
  static Json Load(const std::string& path);

  JsonValue(const Json& json, std::string file, std::string path = "")
      : json_(&json), file_(std::move(file)), path_(std::move(path)) {}

  bool Has(const char* key) const { return json_->is_object() && json_->contains(key); }
  JsonValue At(const std::string& key) const;  // of an object; missing: throws
  JsonValue At(std::size_t index) const;       // of an array. REQUIRES: index < Size()
  std::size_t Size() const;                    // of an array; throws if it is none
  const Json& json() const { return *json_; }

  std::string Text() const;                      // without control characters
  double Number(double min, double max) const;   // finite
  std::int64_t Integer(std::int64_t min) const;  // 16, 16.0 or 1.6e+01, at most 2^53

  [[noreturn]] void Fail(std::string what, std::string expected = "") const {
    throw InputError({{file_, 0, 0}, path_, std::move(what), std::move(expected), ""});
  }

 private:
  const Json* json_;
  std::string file_;
  std::string path_;
};

}  // namespace sparseserve::config
