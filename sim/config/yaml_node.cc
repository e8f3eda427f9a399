#include "sim/config/yaml_node.h"

#include <fmt/format.h>
#include <simdjson.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "sim/core/check.h"

namespace sparseserve::config {
namespace {

[[noreturn]] void Fail(SourceLoc where, std::string what, std::string expected = "",
                       std::string hint = "", std::string key = "") {
  throw InputError(
      {std::move(where), std::move(key), std::move(what), std::move(expected), std::move(hint)});
}

std::size_t CountNodes(const Node& node) {
  std::size_t count = 1;
  for (const Node& item : node.items) count += CountNodes(item);
  return count;
}

std::size_t Depth(const Node& node) {
  std::size_t deepest = 0;
  for (const Node& item : node.items) deepest = std::max(deepest, Depth(item));
  return deepest + 1;
}

// Builds the tree from parse events. The stack holds the open lists and maps.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string file) : file_(std::move(file)) {}

  Node& root() { return root_; }
  const std::vector<InputProblem>& duplicates() const { return duplicates_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Leaf(mark, anchor, NodeKind::kNull, "");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    Leaf(mark, anchor, NodeKind::kScalar, value);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchored_.find(anchor);
    // An alias inside the value that it names is not in the table yet.
    if (found == anchored_.end()) Fail(At(mark), "the alias refers to a value that contains it");
    const std::size_t copied = CountNodes(found->second);
    CheckLimits(mark, copied, Depth(found->second));
    num_nodes_ += copied;
    Node copy = found->second;
    Place(mark, std::move(copy));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(mark, anchor, NodeKind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(mark, anchor, NodeKind::kMap);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Level {
    Node node;
    YAML::anchor_t anchor;
    YAML::Mark mark;
    bool wants_value;  // a map whose last key has no value yet
    bool skips_value;  // the last key was a repetition
  };

  SourceLoc At(const YAML::Mark& mark) const { return {file_, mark.line + 1, 0}; }

  // "?" is a plain scalar, "!" a quoted one.
  void CheckTag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") {
      Fail(At(mark), "the tag '" + tag + "' is not supported", "a value without a tag");
    }
  }

  void CheckLimits(const YAML::Mark& mark, std::size_t more_nodes, std::size_t more_depth) const {
    if (num_nodes_ + more_nodes > kMaxYamlNodes) {
      Fail(At(mark), "the file has too many values",
           fmt::format("at most {} with aliases expanded", kMaxYamlNodes));
    }
    if (open_.size() + more_depth > kMaxYamlDepth) {
      Fail(At(mark), "the file is nested too deeply",
           fmt::format("at most {} levels", kMaxYamlDepth));
    }
  }

  Node Make(const YAML::Mark& mark, NodeKind kind, const std::string& scalar) {
    CheckLimits(mark, 1, 1);
    ++num_nodes_;
    Node node;
    node.kind = kind;
    node.scalar = scalar;
    node.where = At(mark);
    return node;
  }

  void Leaf(const YAML::Mark& mark, YAML::anchor_t anchor, NodeKind kind,
            const std::string& scalar) {
    Node node = Make(mark, kind, scalar);
    if (anchor != 0) anchored_[anchor] = node;
    Place(mark, std::move(node));
  }

  void Open(const YAML::Mark& mark, YAML::anchor_t anchor, NodeKind kind) {
    Node node = Make(mark, kind, "");
    if (PlacesKey()) FailAsKey(mark, node);  // before it is filled: a level below it has no path
    open_.push_back({std::move(node), anchor, mark, false, false});
  }

  void Close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    if (level.anchor != 0) anchored_[level.anchor] = level.node;
    Place(level.mark, std::move(level.node));
  }

  // Puts a complete node where it belongs: root, element, key or value.
  void Place(const YAML::Mark& mark, Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    if (PlacesKey()) {
      PlaceKey(mark, node);
      return;
    }
    Level& parent = open_.back();
    // yaml-cpp marks an empty value where the next token is.
    if (node.kind == NodeKind::kNull) {
      node.where =
          parent.node.kind == NodeKind::kMap ? parent.node.keys.back().where : parent.node.where;
    }
    if (!std::exchange(parent.skips_value, false)) parent.node.items.push_back(std::move(node));
    parent.wants_value = false;
  }

  // The next node is a key of the innermost level.
  bool PlacesKey() const {
    return !open_.empty() && open_.back().node.kind == NodeKind::kMap && !open_.back().wants_value;
  }

  [[noreturn]] void FailAsKey(const YAML::Mark& mark, const Node& node) const {
    Fail(At(mark), "a key that is " + Describe(node), "a plain word as key");
  }

  void PlaceKey(const YAML::Mark& mark, const Node& node) {
    Level& parent = open_.back();
    if (node.kind != NodeKind::kScalar) FailAsKey(mark, node);
    parent.wants_value = true;
    for (const Node::Key& key : parent.node.keys) {
      if (key.text != node.scalar) continue;
      duplicates_.push_back({At(mark), PathOfOpenLevels() + key.text, "repeated key", "",
                             fmt::format("first given on line {}", key.where.line)});
      parent.skips_value = true;
      return;
    }
    parent.node.keys.push_back({node.scalar, At(mark)});
  }

  // REQUIRES: each open map has a key, which PlaceKey sees to.
  std::string PathOfOpenLevels() const {
    std::string path;
    for (std::size_t i = 0; i + 1 < open_.size(); ++i) {
      const Node& node = open_[i].node;
      if (node.kind == NodeKind::kMap) path += (path.empty() ? "" : ".") + node.keys.back().text;
      if (node.kind == NodeKind::kList) path += fmt::format("[{}]", node.items.size());
    }
    return path.empty() ? path : path + ".";
  }

  std::string file_;
  Node root_;
  std::vector<Level> open_;
  std::map<YAML::anchor_t, Node> anchored_;
  std::size_t num_nodes_ = 0;
  std::vector<InputProblem> duplicates_;
};

void CheckSize(std::string_view text, const std::string& name) {
  if (text.size() <= kMaxYamlBytes) return;
  Fail({name, 0, 0}, "the file is too large", fmt::format("at most {} MiB", kMaxYamlBytes >> 20));
}

// yaml-cpp takes byte 4 for the end of the file and would drop what follows it; of bytes that are
// no UTF-8 it keeps some and replaces others.
void RejectOtherThanText(std::string_view text, const std::string& name) {
  constexpr const char* kExpected = "text in UTF-8";
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view bytes = text.substr(0, end);
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 && c != '\r' && c != '\t')
        Fail({name, line, 0}, fmt::format("control byte 0x{:02x}", byte), kExpected);
    }
    // No character of several bytes has one of a line end.
    if (!simdjson::validate_utf8(bytes))
      Fail({name, line, 0}, "bytes that are no character", kExpected);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

Node Node::Scalar(std::string text) {
  Node node;
  node.kind = NodeKind::kScalar;
  node.scalar = std::move(text);
  return node;
}

Node Node::List() {
  Node node;
  node.kind = NodeKind::kList;
  return node;
}

Node Node::Map() {
  Node node;
  node.kind = NodeKind::kMap;
  return node;
}

const Node* Node::Find(std::string_view key) const {
  if (kind != NodeKind::kMap) return nullptr;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].text == key) return &items[i];
  }
  return nullptr;
}

Node* Node::Find(std::string_view key) { return const_cast<Node*>(std::as_const(*this).Find(key)); }

Node& Node::Set(std::string_view key, Node value) {
  SPARSESERVE_CHECK(kind == NodeKind::kMap, "Set on a node that is no map");
  if (Node* old = Find(key)) return *old = std::move(value);
  keys.push_back({std::string(key), value.where});
  items.push_back(std::move(value));
  return items.back();
}

std::string Describe(const Node& node) {
  switch (node.kind) {
    case NodeKind::kNull:
      return "nothing";
    case NodeKind::kScalar:
      return "'" + (node.scalar.size() > 60 ? node.scalar.substr(0, 57) + "..." : node.scalar) +
             "'";
    case NodeKind::kList:
      return "a list";
    case NodeKind::kMap:
      return "a mapping";
  }
  return "";
}

std::string ReadTextFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char chunk[std::size_t{1} << 14];
  while (file && text.size() <= kMaxYamlBytes) {
    file.read(chunk, sizeof chunk);
    text.append(chunk, static_cast<std::size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad()) {
    Fail({path, 0, 0}, fmt::format("cannot be read: {}", std::strerror(errno)));
  }
  CheckSize(text, path);
  return text;
}

Node LoadYamlFile(const std::string& path) { return LoadYamlString(ReadTextFile(path), path); }

Node LoadYamlString(std::string_view text, const std::string& name) {
  CheckSize(text, name);
  RejectOtherThanText(text, name);
  // yaml-cpp takes an open quote right after the last line end for closed; behind a comment it
  // does not.
  std::istringstream stream(std::string(text) + "\n#");
  TreeBuilder builder(name);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder) || builder.root().kind == NodeKind::kNull) {
      Fail({name, 0, 0}, "the file is empty", "a mapping: lines of the form key: value");
    }
    TreeBuilder rest(name);
    if (parser.HandleNextDocument(rest)) {
      Fail(rest.root().where, "a second document", "one document in a file");
    }
  } catch (const YAML::Exception& error) {
    const auto num_lines = static_cast<int>(std::count(text.begin(), text.end(), '\n')) +
                           (text.empty() || text.back() == '\n' ? 0 : 1);
    // Past the text: something that was never closed.
    if (error.mark.line >= num_lines) Fail({name, num_lines, 0}, "not YAML: " + error.msg);
    Fail({name, error.mark.line + 1, error.mark.column + 1}, "not YAML: " + error.msg);
  }
  if (!builder.duplicates().empty()) throw InputError(builder.duplicates());
  return std::move(builder.root());
}

}  // namespace sparseserve::config
