#include "sim/config/yaml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <type_traits>
#include <utility>

#include "sim/core/check.h"

namespace sparseserve::config {
namespace {

template <typename T>
struct ElementOf {
  using Type = T;
  static constexpr bool kIsList = false;
};
template <typename T>
struct ElementOf<std::vector<T>> {
  using Type = T;
  static constexpr bool kIsList = true;
};

template <typename T>
Node ToNode(const T& value, const Field& field) {
  if constexpr (ElementOf<T>::kIsList) {
    Node list = Node::List();
    for (const auto& element : value) {
      list.items.push_back(Node::Scalar(FormatText<typename ElementOf<T>::Type>(element, field)));
    }
    return list;
  } else {
    return Node::Scalar(FormatText(value, field));
  }
}

std::string InlineYaml(const Node& node) {
  std::string text = ToYaml(node);
  text.pop_back();  // the line end
  return text;
}

}  // namespace

// What happened to one map: the keys that were asked for, and with them its resolved form.
struct MapReader::Record {
  struct KnownKey {
    std::string key;
    Node resolved;                  // of a scalar or a list of scalars
    std::vector<Record*> children;  // of a map or a list of maps
    bool is_list = false;
    bool in_force = true;  // false: absent and without a default
  };

  const Node* node;
  std::string path;         // "systems[2]"; empty for the root
  std::string schema_path;  // "systems[]"
  bool silent = false;      // stands for a map that is absent or broken: problems are no news
  bool incomplete = false;  // silent, and a required key was asked for
  std::vector<KnownKey> known = {};

  std::string PathOf(std::string_view key) const { return Join(path, key); }
  static std::string Join(const std::string& path, std::string_view key) {
    return path.empty() || key.empty() ? path + std::string(key) : path + "." + std::string(key);
  }
};

struct MapReader::State {
  std::deque<Record> records;  // never moves what it holds
  std::vector<InputProblem> problems;
  Schema* schema = nullptr;
  bool finished = false;
  Node empty = Node::Map();

  // A file that nobody checked for unknown keys must not pass for a good one.
  ~State() {
    SPARSESERVE_CHECK(finished || std::uncaught_exceptions() > 0,
                      "MapReader::Finish() was not called");
  }

  void AddProblem(const Record& record, const SourceLoc& where, const std::string& path,
                  Complaint complaint) {
    if (record.silent) return;
    problems.push_back({where, path, std::move(complaint.what), std::move(complaint.expected),
                        std::move(complaint.hint)});
  }

  void AddSchema(SchemaEntry entry) {
    if (schema == nullptr) return;
    for (const SchemaEntry& old : *schema) {
      if (old.path == entry.path) return;  // the next element of a list
    }
    schema->push_back(std::move(entry));
  }

  // One element or value: text to T, with the problem noted.
  template <typename T>
  bool ReadScalar(const Record& record, const Node& node, const std::string& path, T& value,
                  const Field& field) {
    if (node.kind != NodeKind::kScalar) {
      AddProblem(record, node.where, path,
                 {fmt::format("found {}", Describe(node)), Accepted<T>(field), ""});
      return false;
    }
    auto complaint = ParseText(node.scalar, value, field);
    if (complaint) AddProblem(record, node.where, path, std::move(*complaint));
    return !complaint;
  }

  void AddUnknownKeys(const Record& record, std::vector<InputProblem>& out) const {
    std::vector<std::string> known;
    for (const Record::KnownKey& entry : record.known) known.push_back(entry.key);
    for (const Node::Key& key : record.node->keys) {
      if (std::find(known.begin(), known.end(), key.text) != known.end()) continue;
      out.push_back({key.where, record.PathOf(key.text), "unknown key",
                     known.empty() ? "no keys here" : JoinWords(known),
                     DidYouMean(key.text, known)});
    }
  }
};

MapReader::MapReader(const Node& root, Schema* schema) : state_(std::make_shared<State>()) {
  if (root.kind != NodeKind::kMap) {
    state_->finished = true;
    throw InputError({root.where, "", fmt::format("found {}", Describe(root)),
                      "a mapping: lines of the form key: value", ""});
  }
  state_->schema = schema;
  record_ = &state_->records.emplace_back(Record{&root, "", ""});
}

template <typename T>
void MapReader::Read(std::string_view key, T& value, const Field& field, bool required) {
  using Element = typename ElementOf<T>::Type;
  constexpr bool kIsList = ElementOf<T>::kIsList;
  const std::string list_of = kIsList ? "list of " : "";
  state_->AddSchema({Record::Join(record_->schema_path, key), list_of + TypeName<Element>(field),
                     required ? "" : InlineYaml(ToNode(value, field)), Accepted<Element>(field),
                     field.doc});
  const Node* node = record_->node->Find(key);
  const std::string path = record_->PathOf(key);
  const std::string accepted = (kIsList ? "a list, each " : "") + Accepted<Element>(field);
  if (node == nullptr) {
    if (required) AddProblem(key, {"missing key", accepted, field.doc});
  } else if constexpr (kIsList) {
    if (node->kind != NodeKind::kList) {
      AddProblem(key, {fmt::format("found {}", Describe(*node)), accepted,
                       node->kind == NodeKind::kScalar ? "write [" + node->scalar + "]" : ""});
    } else {
      T list;
      bool good = true;
      for (std::size_t i = 0; i < node->items.size(); ++i) {
        Element element{};
        good &= state_->ReadScalar(*record_, node->items[i], fmt::format("{}[{}]", path, i),
                                   element, field);
        list.push_back(std::move(element));
      }
      if (good) value = std::move(list);
    }
  } else {
    state_->ReadScalar(*record_, *node, path, value, field);
  }
  if (required && record_->silent) record_->incomplete = true;
  record_->known.push_back({std::string(key), ToNode(value, field), {}});
}

template <typename T>
void MapReader::Required(std::string_view key, T& value, const Field& field) {
  Read(key, value, field, true);
}

template <typename T>
void MapReader::Optional(std::string_view key, T& value, const Field& field) {
  Read(key, value, field, false);
}

MapReader MapReader::ReadMap(std::string_view key, const std::string& doc, bool required) {
  const Node* node = record_->node->Find(key);
  const std::string schema_path = Record::Join(record_->schema_path, key);
  state_->AddSchema({schema_path, "mapping", required ? "" : "{}", "a mapping", doc});
  const bool broken = node == nullptr ? required : node->kind != NodeKind::kMap;
  if (broken) {
    const std::string what =
        node == nullptr ? "missing key" : fmt::format("found {}", Describe(*node));
    AddProblem(key, {what, "a mapping", doc});
  }
  const bool silent = record_->silent || node == nullptr || broken;
  Record& child =
      state_->records.emplace_back(Record{broken || node == nullptr ? &state_->empty : node,
                                          record_->PathOf(key), schema_path, silent});
  record_->known.push_back({std::string(key), {}, {&child}});
  return MapReader(state_, &child);
}

MapReader MapReader::Map(std::string_view key, const std::string& doc) {
  return ReadMap(key, doc, true);
}

MapReader MapReader::OptionalMap(std::string_view key, const std::string& doc) {
  return ReadMap(key, doc, false);
}

std::vector<MapReader> MapReader::Maps(std::string_view key, const std::string& doc) {
  const std::string schema_path = Record::Join(record_->schema_path, key);
  state_->AddSchema({schema_path, "list of mappings", "[]", "a list of mappings", doc});
  Record::KnownKey known{std::string(key), {}, {}, true};
  std::vector<MapReader> readers;
  const Node* node = record_->node->Find(key);
  if (node != nullptr && node->kind != NodeKind::kList) {
    AddProblem(key, {fmt::format("found {}", Describe(*node)), "a list of mappings", doc});
  } else if (node != nullptr) {
    for (std::size_t i = 0; i < node->items.size(); ++i) {
      const Node& item = node->items[i];
      const std::string path = fmt::format("{}[{}]", record_->PathOf(key), i);
      const bool broken = item.kind != NodeKind::kMap;
      if (broken) {
        state_->AddProblem(*record_, item.where, path,
                           {fmt::format("found {}", Describe(item)), "a mapping", doc});
      }
      Record& child = state_->records.emplace_back(Record{
          broken ? &state_->empty : &item, path, schema_path + "[]", record_->silent || broken});
      known.children.push_back(&child);
      readers.push_back(MapReader(state_, &child));
    }
  }
  record_->known.push_back(std::move(known));
  return readers;
}

const Node* MapReader::Raw(std::string_view key, const std::string& doc) {
  const Node* node = record_->node->Find(key);
  state_->AddSchema({Record::Join(record_->schema_path, key), "any", "null", "any value", doc});
  record_->known.push_back(
      {std::string(key), node == nullptr ? Node{} : *node, {}, false, node != nullptr});
  return node;
}

bool MapReader::Has(std::string_view key) const { return record_->node->Find(key) != nullptr; }

std::vector<std::string> MapReader::Keys() const {
  std::vector<std::string> keys;
  for (const Node::Key& key : record_->node->keys) keys.push_back(key.text);
  return keys;
}

const std::string& MapReader::path() const { return record_->path; }

const SourceLoc& MapReader::where() const { return record_->node->where; }

void MapReader::AddProblem(std::string_view key, Complaint complaint) {
  const Node* node = record_->node->Find(key);
  state_->AddProblem(*record_, node == nullptr ? where() : node->where, record_->PathOf(key),
                     std::move(complaint));
}

void MapReader::Ignore() { record_->silent = true; }

void MapReader::Finish() {
  state_->finished = true;
  std::vector<InputProblem> problems;
  for (const Record& record : state_->records) {
    if (!record.silent) state_->AddUnknownKeys(record, problems);
  }
  problems.insert(problems.end(), state_->problems.begin(), state_->problems.end());
  if (problems.size() > kMaxReportedProblems) {
    const std::size_t more = problems.size() - kMaxReportedProblems;
    problems.resize(kMaxReportedProblems);
    problems.push_back(
        {{problems[0].where.file, 0, 0}, "", fmt::format("{} more problems", more), "", ""});
  }
  if (!problems.empty()) throw InputError(problems);
}

Node MapReader::Resolved() const {
  Node map = Node::Map();
  for (const Record::KnownKey& known : record_->known) {
    if (!known.in_force) continue;
    Node value = known.is_list ? Node::List() : known.resolved;
    bool incomplete = false;
    for (Record* child : known.children) {
      incomplete = incomplete || child->incomplete;
      Node resolved = MapReader(state_, child).Resolved();
      if (known.is_list)
        value.items.push_back(std::move(resolved));
      else
        value = std::move(resolved);
    }
    if (!incomplete) map.Set(known.key, std::move(value));
  }
  return map;
}

#define SPARSESERVE_CONFIG_TYPE(T)                                                     \
  template void MapReader::Required<T>(std::string_view, T&, const Field&);            \
  template void MapReader::Optional<T>(std::string_view, T&, const Field&);            \
  template void MapReader::Required<std::vector<T>>(std::string_view, std::vector<T>&, \
                                                    const Field&);                     \
  template void MapReader::Optional<std::vector<T>>(std::string_view, std::vector<T>&, const Field&)
SPARSESERVE_CONFIG_TYPE(std::string);
SPARSESERVE_CONFIG_TYPE(int);
SPARSESERVE_CONFIG_TYPE(std::int64_t);
SPARSESERVE_CONFIG_TYPE(std::uint64_t);
SPARSESERVE_CONFIG_TYPE(double);
SPARSESERVE_CONFIG_TYPE(Bytes);
SPARSESERVE_CONFIG_TYPE(Tokens);
SPARSESERVE_CONFIG_TYPE(Blocks);
SPARSESERVE_CONFIG_TYPE(Seconds);
SPARSESERVE_CONFIG_TYPE(Flops);
SPARSESERVE_CONFIG_TYPE(BytesPerSecond);
SPARSESERVE_CONFIG_TYPE(FlopsPerSecond);
#undef SPARSESERVE_CONFIG_TYPE
template void MapReader::Required<bool>(std::string_view, bool&, const Field&);
template void MapReader::Optional<bool>(std::string_view, bool&, const Field&);

}  // namespace sparseserve::config
