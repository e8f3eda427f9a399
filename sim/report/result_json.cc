#include "sim/report/result_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

namespace sparseserve::report {
namespace {

using Json = ResultJson::Json;

constexpr int kMaxDepth = 16;
constexpr std::uintmax_t kMaxBytes = 256 << 20;  // 10,000 requests with all gaps take 100 MB
constexpr std::size_t kMaxText = 1000;
constexpr double kMaxInteger = 0x1p53;

[[noreturn]] void Reject(const std::string& path, std::string what, std::string expected = "",
                         int line = 0) {
  throw InputError({{path, line, 0}, "", std::move(what), std::move(expected), ""});
}

std::string ReadBounded(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) Reject(path, "no such file or directory");
  if (!fs::is_regular_file(status)) Reject(path, "is no file");
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) throw std::system_error(error, path);
  if (size > kMaxBytes) Reject(path, fmt::format("{} MiB are too large", size >> 20), "256 MiB");
  std::ifstream in(path, std::ios::binary);
  std::string text(size, '\0');
  in.read(text.data(), static_cast<std::streamsize>(size));
  if (!in) throw std::system_error(errno, std::generic_category(), path);
  return text;
}

// Throws InputError for repeated keys and deep nesting, Json::exception for what is no JSON.
Json Parse(std::string_view text, const std::string& path) {
  std::vector<std::set<std::string>> seen(kMaxDepth + 2);  // keys of the open object of each depth
  return Json::parse(text, [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) Reject(path, "nested too deeply");
    const auto level = static_cast<std::size_t>(depth);
    if (event == Json::parse_event_t::object_start) seen[level + 1].clear();
    if (event == Json::parse_event_t::key && !seen[level].insert(parsed.get<std::string>()).second)
      Reject(path, "repeated key '" + parsed.get<std::string>() + "'");
    return true;
  });
}

// The object of the first line where it is a whole one: then each line holds a result.
bool IsJsonLines(std::string_view text) {
  const std::string_view first = text.substr(0, text.find('\n'));
  return first.size() < text.size() && Json::accept(first);
}

std::string Shown(const Json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "a list";
  const std::string text = json.dump();
  return text.size() > 60 ? "a long text" : text;
}

int LineOf(std::string_view text, std::size_t byte) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
  return static_cast<int>(std::count(text.begin(), end, '\n')) + 1;
}

}  // namespace

ResultFile LoadResult(const std::string& path) {
  const std::string content = ReadBounded(path);
  std::string_view text = content;
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  if (last == text.npos) Reject(path, "the file is empty");
  text = text.substr(0, last + 1);
  ResultFile result;
  std::size_t begin = 0;
  if (IsJsonLines(text)) {
    result.num_objects = std::count(text.begin(), text.end(), '\n') + 1;
    begin = text.rfind('\n') + 1;
  }
  try {
    result.json = Parse(text.substr(begin), path);
  } catch (const Json::parse_error& error) {
    const bool torn = error.byte > text.size() - begin;
    Reject(path, torn ? "not JSON: the file ends too early" : "not JSON", "a JSON object",
           LineOf(text, begin + error.byte));
  } catch (const Json::exception&) {
    Reject(path, "not JSON: a number is out of range");
  }
  if (!result.json.is_object()) Reject(path, "holds " + Shown(result.json), "a JSON object");
  return result;
}

void ResultJson::Fail(const std::string& key, std::string what, std::string expected) const {
  const std::string where = path_.empty() || key.empty() ? path_ + key : path_ + "." + key;
  throw InputError({{file_, 0, 0}, where, std::move(what), std::move(expected), ""});
}

const Json& ResultJson::Value(const std::string& key) const {
  const auto found = object_->find(key);
  if (found == object_->end()) Fail(key, "missing key");
  return *found;
}

bool ResultJson::HasObject(const std::string& key) const {
  return Has(key) && Value(key).is_object();
}

ResultJson ResultJson::Object(const std::string& key) const {
  const Json& value = Value(key);
  if (!value.is_object()) Fail(key, "found " + Shown(value), "an object");
  return ResultJson(value, file_, path_.empty() ? key : path_ + "." + key);
}

double ResultJson::ToNumber(const std::string& key, const Json& value) const {
  if (!value.is_number()) Fail(key, "found " + Shown(value), "a number");
  const auto number = value.get<double>();
  if (!std::isfinite(number) || number < 0)
    Fail(key, Shown(value) + " is out of range", "0 or more");
  return number;
}

double ResultJson::Number(const std::string& key) const { return ToNumber(key, Value(key)); }

double ResultJson::Count(const std::string& key) const {
  const double number = Number(key);
  if (number != std::floor(number) || number > kMaxInteger)
    Fail(key, Shown(Value(key)) + " is no count", "an integer up to 2^53");
  return number;
}

std::optional<double> ResultJson::FindNumber(const std::string& key) const {
  if (!Has(key) || Value(key).is_null()) return std::nullopt;
  return Number(key);
}

std::optional<double> ResultJson::FindCount(const std::string& key) const {
  if (!Has(key) || Value(key).is_null()) return std::nullopt;
  return Count(key);
}

std::string ResultJson::FindText(const std::string& key) const {
  if (!Has(key)) return "";
  const Json* value = &Value(key);
  if (value->is_array() && !value->empty()) value = &value->front();
  if (value->is_null()) return "";
  if (value->is_number_integer()) return value->dump();
  if (!value->is_string()) Fail(key, "found " + Shown(*value), "a text");
  const auto& text = value->get_ref<const std::string&>();
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (text.size() > kMaxText || std::any_of(text.begin(), text.end(), is_control))
    Fail(key, "the text is too long or has a control character", "one line of text");
  return text;
}

std::optional<double> ResultJson::FindMean(const std::string& key, double size) const {
  if (!Has(key) || !Value(key).is_array()) return std::nullopt;
  const Json& list = Value(key);
  if (list.empty() || static_cast<double>(list.size()) != size) return std::nullopt;
  double sum = 0;
  for (const Json& value : list) sum += ToNumber(key, value);
  return sum / size;
}

}  // namespace sparseserve::report
