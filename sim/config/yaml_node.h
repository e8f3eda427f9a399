// A YAML file as a plain tree of values, each with the place where it stands.
//
// The tree is built from yaml-cpp's parse events and not from its nodes: yaml-cpp 0.7 keeps the
// first of two equal keys without a word, counts lines from 0 in one place and from 1 in another,
// and reads `yes`, `010` and `.nan` as bool, 8 and a number. Here scalars stay text until a typed
// getter (yaml_reader.h) asks for them, and equal keys are an error with both lines.
//
// Accepted is YAML 1.2 less tags, several documents in one file, and keys that are not scalars.
// Anchors and aliases work; an alias is copied, and the limits below count the copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/error.h"

namespace sparseserve::config {

inline constexpr std::size_t kMaxYamlBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxYamlNodes = 100'000;
inline constexpr std::size_t kMaxYamlDepth = 64;

enum class NodeKind : std::uint8_t { kNull, kScalar, kList, kMap };

struct Node {
  struct Key {
    std::string text;
    SourceLoc where;
  };

  NodeKind kind = NodeKind::kNull;
  std::string scalar;       // of a kScalar
  std::vector<Node> items;  // of a kList; of a kMap the values, in the order of `keys`
  std::vector<Key> keys;    // of a kMap, in file order, no two equal
  SourceLoc where;

  static Node Scalar(std::string text);
  static Node List();
  static Node Map();

  // The value of `key` in a map; nullptr if there is none or this is no map.
  const Node* Find(std::string_view key) const;
  Node* Find(std::string_view key);
  // Sets `key` of a map; a new key goes to the end. REQUIRES: kind is kMap.
  Node& Set(std::string_view key, Node value);
};

// "nothing", "'80'", "a list" or "a mapping", for messages.
std::string Describe(const Node& node);

// The bytes of a file. Throws InputError for one that cannot be read or is larger than a YAML file
// may be.
std::string ReadTextFile(const std::string& path);

// Both throw InputError for a file that is missing, empty, too large or no YAML. `name` is what
// messages call the text.
Node LoadYamlFile(const std::string& path);
Node LoadYamlString(std::string_view text, const std::string& name);

// Sets the value at "a.b[2].c". Missing maps on the way are created, list elements must exist.
// Throws InputError, which names the place of `value`.
void SetValue(Node& root, std::string_view path, Node value);
// Applies "a.b[2].c=value" (the argument of --set) to a tree. The value is YAML. What it sets has
// the location "--set a.b[2].c". Throws InputError.
void ApplyOverride(Node& root, std::string_view assignment);

// Block-style YAML in the order of the tree; lists of scalars on one line. Loading it again gives
// an equal tree.
std::string ToYaml(const Node& node);

}  // namespace sparseserve::config
