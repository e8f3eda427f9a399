#include "sim/config/json_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "sim/config/yaml_node.h"

namespace sparseserve::config {
namespace {

constexpr int kMaxDepth = 16;
constexpr double kMaxInteger = 0x1p53;

std::string Shortened(const nlohmann::json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "an array";
  // Bytes that are no UTF-8 are replaced.
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

}  // namespace

JsonValue::Json JsonValue::Load(const std::string& path) {
  const std::string text = ReadTextFile(path);
  const auto fail = [&](std::string key, std::string what, std::string hint = "", int line = 0) {
    throw InputError({{path, line, 0}, std::move(key), std::move(what), "", std::move(hint)});
  };
  if (text.empty()) fail("", "the file is empty");
  std::vector<std::set<std::string>> seen(kMaxDepth + 2);  // keys of the open object of each depth
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) fail("", "nested too deeply");
    const auto level = static_cast<std::size_t>(depth);
    if (event == Json::parse_event_t::object_start) seen[level + 1].clear();
    if (event == Json::parse_event_t::key &&
        !seen[level].insert(parsed.get<std::string>()).second) {
      fail(parsed.get<std::string>(), "repeated key");
    }
    return true;
  };
  Json json;
  try {
    json = Json::parse(text, check);
  } catch (const Json::parse_error& error) {
    const auto at = static_cast<std::ptrdiff_t>(std::min(error.byte, text.size()));
    const auto line = static_cast<int>(std::count(text.begin(), text.begin() + at, '\n')) + 1;
    fail("", error.byte >= text.size() ? "not JSON: the file ends too early" : "not JSON",
         error.what(), line);
  } catch (const Json::exception& error) {
    fail("", "not JSON", error.what());
  }
  if (!json.is_object()) fail("", "found " + Shortened(json), "the file holds one JSON object");
  return json;
}

JsonValue JsonValue::At(const std::string& key) const {
  const std::string path = path_.empty() ? key : path_ + "." + key;
  if (!json_->is_object()) Fail("found " + Shortened(*json_), "an object");
  const auto found = json_->find(key);
  if (found == json_->end()) JsonValue(*json_, file_, path).Fail("missing key");
  return JsonValue(*found, file_, path);
}

JsonValue JsonValue::At(std::size_t index) const {
  return JsonValue((*json_)[index], file_, fmt::format("{}[{}]", path_, index));
}

std::size_t JsonValue::Size() const {
  if (!json_->is_array()) Fail("found " + Shortened(*json_), "an array");
  return json_->size();
}

std::string JsonValue::Text() const {
  if (!json_->is_string()) Fail("found " + Shortened(*json_), "a text");
  const auto& text = json_->get_ref<const std::string&>();
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      Fail("the text has a control character", "one line of text");
    }
  }
  return text;
}

double JsonValue::Number(double min, double max) const {
  const double number = json_->is_number() ? json_->get<double>() : std::nan("");
  if (!json_->is_number()) Fail("found " + Shortened(*json_), "a number");
  if (!(number >= min && number <= max) || !std::isfinite(number)) {
    const std::string bound = std::isfinite(max) ? fmt::format(" to {}", max) : " or more";
    Fail(Shortened(*json_) + " is out of range", fmt::format("{}{}", min, bound));
  }
  return number;
}

std::int64_t JsonValue::Integer(std::int64_t min) const {
  const double number = Number(static_cast<double>(min), kMaxInteger);
  if (number != std::floor(number)) Fail(Shortened(*json_) + " is not an integer", "an integer");
  return static_cast<std::int64_t>(number);
}

}  // namespace sparseserve::config
