// The strict reader: the one way from a YAML file to a configuration struct.
//
//   const Node root = LoadYamlFile(path);
//   MapReader reader(root);
//   reader.Required("num_sms", gpu.num_sms, {.doc = "streaming multiprocessors", .min = 1});
//   reader.Optional("latency", gpu.latency);        // keeps the default that is already there
//   MapReader host = reader.Map("host");            // shares the list of problems
//   host.Required("dram", machine.dram_capacity);   // Bytes: needs a unit
//   reader.Finish();                                // once, on the root: throws all problems
//
// Rules
// (1) A getter never throws: it notes a problem, leaves its target alone, and reading goes on, so
//     that one run of the program shows all faults of a file.
// (2) Finish() reports keys that no getter asked for, in this map and in all maps read from it.
// (3) Unknown keys come before everything else (a typo is an unknown and a missing key at once),
//     then the rest in reading order; at most 20 lines.
// (4) Each getter call also states the schema (key, type, default, meaning), which a test compares
//     with configs/README.md, and the value in force, which becomes config.resolved.yaml.
// A reader refers to the tree, which must outlive it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/value_text.h"
#include "sim/config/yaml_node.h"

namespace sparseserve::config {

inline constexpr std::size_t kMaxReportedProblems = 20;

// One line of the schema, in the order of reading.
struct SchemaEntry {
  std::string path;          // "systems[].kv.block_tokens"
  std::string type;          // TypeName, "list of ...", "mapping", "any"
  std::string default_text;  // empty: the key is required
  std::string accepted;      // units, range, words
  std::string doc;
};
using Schema = std::vector<SchemaEntry>;

template <typename E>
struct EnumName {
  const char* name;
  E value;
};

class MapReader {
 public:
  // Reads `root`, which must be a map (throws InputError otherwise), and appends what the getters
  // ask for to `schema` if there is one.
  explicit MapReader(const Node& root, Schema* schema = nullptr);

  // T is one of the types of value_text.h or a std::vector of one. Optional keeps `value` when the
  // key is absent.
  template <typename T>
  void Required(std::string_view key, T& value, const Field& field = {});
  template <typename T>
  void Optional(std::string_view key, T& value, const Field& field = {});

  // An enum by the names of `table`, an array or vector of EnumName<E>. RequiredEnum returns
  // whether it has one.
  template <typename E, typename Table>
  bool RequiredEnum(std::string_view key, E& value, const Table& table, Field field = {});
  template <typename E, typename Table>
  void OptionalEnum(std::string_view key, E& value, const Table& table, Field field = {});

  // The map at `key`. If a required one is absent or no map, that alone is reported: the reader
  // returned is empty and silent. So it is for an absent optional one, where Required keys are
  // required only if the map is there.
  MapReader Map(std::string_view key, const std::string& doc = "");
  MapReader OptionalMap(std::string_view key, const std::string& doc = "");
  // The maps of the list at `key`; none if it is absent.
  std::vector<MapReader> Maps(std::string_view key, const std::string& doc = "");
  // The value at `key` as it stands, or nullptr: for values whose form the caller decides. An
  // InputError from it should use Node::where.
  const Node* Raw(std::string_view key, const std::string& doc = "");

  bool Has(std::string_view key) const;
  std::vector<std::string> Keys() const;
  const std::string& path() const;
  const SourceLoc& where() const;

  // Notes a problem that only the caller can see, at the place of `key` ("" for the map itself).
  void AddProblem(std::string_view key, Complaint complaint);
  // Reports nothing more about this map, unknown keys included: for a value that decides which keys
  // there are, and is wrong.
  void Ignore();
  // Throws InputError if there was any problem. Call once, on the reader made from the root.
  void Finish();
  // The values in force, defaults included, in the order of reading. REQUIRES: Finish() returned.
  Node Resolved() const;

 private:
  struct Record;
  struct State;
  MapReader(std::shared_ptr<State> state, Record* record)
      : state_(std::move(state)), record_(record) {}

  template <typename T>
  void Read(std::string_view key, T& value, const Field& field, bool required);
  MapReader ReadMap(std::string_view key, const std::string& doc, bool required);

  std::shared_ptr<State> state_;  // one per file
  Record* record_;                // of this map; owned by state_
};

template <typename E, typename Table>
bool MapReader::RequiredEnum(std::string_view key, E& value, const Table& table, Field field) {
  std::string name;
  for (const auto& entry : table) field.one_of.emplace_back(entry.name);
  Required(key, name, field);
  for (const auto& entry : table) {
    if (name == entry.name) value = entry.value;
  }
  return !name.empty();
}

template <typename E, typename Table>
void MapReader::OptionalEnum(std::string_view key, E& value, const Table& table, Field field) {
  std::string name;
  for (const auto& entry : table) {
    field.one_of.emplace_back(entry.name);
    if (value == entry.value) name = entry.name;
  }
  Optional(key, name, field);
  for (const auto& entry : table) {
    if (name == entry.name) value = entry.value;
  }
}

}  // namespace sparseserve::config
