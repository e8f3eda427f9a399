// Changing and printing a tree: SetValue, ApplyOverride and ToYaml.
#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "sim/config/yaml_node.h"

namespace sparseserve::config {
namespace {

// One step of "a.b[2].c": a key, or an index into a list.
struct Step {
  std::string key;
  std::size_t index = 0;
  bool is_index = false;
};

[[noreturn]] void FailOverride(const SourceLoc& where, std::string what, std::string expected,
                               std::string hint = "") {
  throw InputError({where, "", std::move(what), std::move(expected), std::move(hint)});
}

std::vector<Step> ParsePath(std::string_view path, const SourceLoc& where) {
  const std::string expected = "a path such as gpu.hbm or systems[0].name";
  std::vector<Step> steps;
  std::size_t i = 0;
  while (i < path.size()) {
    if (path[i] == '[') {
      const std::size_t close = std::min(path.find(']', i), path.size());
      Step step{"", 0, true};
      const char* end = path.data() + close;
      const auto [stop, error] = std::from_chars(path.data() + i + 1, end, step.index);
      if (close == path.size() || error != std::errc() || stop != end || steps.empty()) {
        FailOverride(where, "not a path", expected);
      }
      steps.push_back(step);
      i = close + 1;
      continue;
    }
    if (!steps.empty() && path[i++] != '.') FailOverride(where, "not a path", expected);
    const std::size_t end = std::min(path.find_first_of(".[", i), path.size());
    if (end == i) FailOverride(where, "not a path", expected);
    steps.push_back({std::string(path.substr(i, end - i)), 0, false});
    i = end;
  }
  if (steps.empty()) FailOverride(where, "not a path", expected);
  return steps;
}

void SetLocation(Node& node, const SourceLoc& where) {
  node.where = where;
  for (Node::Key& key : node.keys) key.where = where;
  for (Node& item : node.items) SetLocation(item, where);
}

// The child that `step` names; a missing map entry is created.
Node& Enter(Node& parent, const Step& step, const SourceLoc& where) {
  if (step.is_index) {
    if (parent.kind != NodeKind::kList) {
      FailOverride(where, fmt::format("[{}] is applied to {}", step.index, Describe(parent)),
                   "a list there");
    }
    if (step.index >= parent.items.size()) {
      FailOverride(where, fmt::format("[{}] is past the end of the list", step.index),
                   fmt::format("an index below {}", parent.items.size()));
    }
    return parent.items[step.index];
  }
  if (parent.kind == NodeKind::kNull) parent = Node::Map(), parent.where = where;
  if (parent.kind != NodeKind::kMap) {
    FailOverride(where, fmt::format("'{}' is looked up in {}", step.key, Describe(parent)),
                 "a mapping there");
  }
  if (Node* child = parent.Find(step.key)) return *child;
  Node child;
  child.where = where;
  return parent.Set(step.key, std::move(child));
}

bool NeedsQuotes(const std::string& text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return true;
  if (text == "~" || text == "null" || text == "Null" || text == "NULL") return true;
  if (text == "-" || text == "---" || text == "...") return true;
  if (std::string_view("!&*-?|>@`%'\"#[]{},:").find(text.front()) != std::string_view::npos &&
      !(text.front() == '-' && text[1] >= '0' && text[1] <= '9')) {
    return true;
  }
  if (text.find(": ") != std::string::npos || text.find(" #") != std::string::npos) return true;
  // Flow lists end a plain scalar at these.
  return text.find_first_of(",[]{}\n\r\t\"") != std::string::npos;
}

std::string Quoted(const std::string& text) {
  if (!NeedsQuotes(text)) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c == '"' || c == '\\')
      (out += '\\') += c;
    else
      out += c;
  }
  return out + '"';
}

// The text of a node that fits on the line of its key; nothing for a block.
bool AppendInline(const Node& node, std::string& out) {
  if (node.kind == NodeKind::kNull) return out += "null", true;
  if (node.kind == NodeKind::kScalar) return out += Quoted(node.scalar), true;
  if (node.kind == NodeKind::kMap) return node.items.empty() ? (out += "{}", true) : false;
  std::string text = "[";
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    if (node.items[i].kind != NodeKind::kScalar) return false;
    text += (i > 0 ? ", " : "") + Quoted(node.items[i].scalar);
  }
  return out += text + "]", true;
}

// Appends a block whose lines are indented by `indent`; the first line is indented already.
void AppendBlock(const Node& node, std::size_t indent, std::string& out) {
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    if (i > 0) out.append(indent, ' ');
    const bool is_map = node.kind == NodeKind::kMap;
    out += is_map ? Quoted(node.keys[i].text) + ":" : std::string("-");
    std::string text;
    if (AppendInline(node.items[i], text)) {
      out += ' ' + text + '\n';
    } else {
      // An element starts on the line of its dash, the value of a key on the next line.
      if (is_map)
        (out += '\n').append(indent + 2, ' ');
      else
        out += ' ';
      AppendBlock(node.items[i], indent + 2, out);
    }
  }
}

}  // namespace

void SetValue(Node& root, std::string_view path, Node value) {
  const SourceLoc where = value.where;
  Node* node = &root;
  for (const Step& step : ParsePath(path, where)) node = &Enter(*node, step, where);
  *node = std::move(value);
}

void ApplyOverride(Node& root, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  const std::string_view path = assignment.substr(0, equals);
  const SourceLoc where{"--set " + std::string(path), 0, 0};
  if (equals == std::string_view::npos) FailOverride(where, "no '='", "path=value");
  ParsePath(path, where);  // a wrong path is told before a wrong value
  // The text is wrapped in a map so that a scalar of any content parses as it would in a file.
  Node value;
  try {
    value = LoadYamlString("value: " + std::string(assignment.substr(equals + 1)), where.file);
  } catch (const InputError& error) {
    InputProblem problem = error.problem();
    problem.where = where;  // a line of the value means nothing to anyone
    throw InputError(problem);
  }
  if (value.items.size() != 1) {
    FailOverride(where, "the value is no single YAML value", "path=value");
  }
  SetLocation(value, where);
  SetValue(root, path, std::move(value.items[0]));
}

std::string ToYaml(const Node& node) {
  std::string out;
  if (AppendInline(node, out)) return out + '\n';
  AppendBlock(node, 0, out);
  return out;
}

}  // namespace sparseserve::config
