#include "sim/config/sweep_file.h"

#include <algorithm>
#include <filesystem>

#include "sim/metrics/figures.h"

namespace sparseserve::config {
namespace {

// What a value of an axis is called in results.
std::string LabelOf(const Node& value) {
  std::string text = value.kind == NodeKind::kScalar ? value.scalar : ToYaml(value);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  const std::filesystem::path path(text);
  const bool is_file = path.has_parent_path() && path.has_extension();  // and "0.3/s" is none
  return is_file ? path.stem().string() : text;
}

// The key and the values of one axis, or of one member of a zip.
void ReadMember(MapReader& reader, Axis& axis, bool is_first) {
  std::string key;
  reader.Required("key", key, {.doc = "key of the experiment that varies: memory.eviction"});
  const Node* values = reader.Raw("values", "its values, as they would stand in the experiment");
  if (key == "systems" || key == "seed" || key == "name") {
    reader.AddProblem("key", {"'" + key + "' is no axis of its own", "",
                              key == "seed" ? "use `replications`" : "set it in the experiment"});
  }
  if (values == nullptr || values->kind != NodeKind::kList || values->items.empty()) {
    reader.AddProblem("values", {values == nullptr ? "missing" : "no list of values",
                                 "a list such as [lru, sieve]", ""});
    return;
  }
  if (is_first) axis.values.resize(values->items.size());
  if (axis.values.size() != values->items.size()) {
    reader.AddProblem("values", {std::to_string(values->items.size()) +
                                     " values, but the first "
                                     "member of the zip has " +
                                     std::to_string(axis.values.size()),
                                 "", ""});
    return;
  }
  if (axis.name.empty()) axis.name = key;
  for (std::size_t i = 0; i < values->items.size(); ++i) {
    if (is_first) axis.values[i].label = LabelOf(values->items[i]);
    axis.values[i].set.emplace_back(key, values->items[i]);
  }
}

void CheckLabels(MapReader& reader, const Axis& axis) {
  for (std::size_t i = 0; i < axis.values.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (axis.values[i].label != axis.values[j].label) continue;
      reader.AddProblem("", {"'" + axis.values[i].label + "' is listed twice", "",
                             "give `labels`, or leave one out"});
      return;
    }
  }
}

Axis ReadAxis(MapReader& reader) {
  Axis axis;
  reader.Optional("name", axis.name, {.doc = "name in results; empty: the (first) key"});
  if (reader.Has("zip")) {
    bool is_first = true;
    for (MapReader& member : reader.Maps("zip", "keys that vary together")) {
      ReadMember(member, axis, is_first);
      is_first = false;
    }
  } else {
    ReadMember(reader, axis, true);
  }
  std::vector<std::string> labels;
  reader.Optional("labels", labels, {.doc = "names of the values in results; empty: the values"});
  if (!labels.empty() && labels.size() != axis.values.size()) {
    reader.AddProblem("labels", {std::to_string(labels.size()) + " labels for " +
                                     std::to_string(axis.values.size()) + " values",
                                 "", ""});
    labels.clear();
  }
  for (std::size_t i = 0; i < labels.size(); ++i) axis.values[i].label = labels[i];
  CheckLabels(reader, axis);
  return axis;
}

std::vector<std::string> FigureNames() {
  std::vector<std::string> names;
  for (const metrics::FigureInfo& figure : metrics::Figures()) names.emplace_back(figure.name);
  return names;
}

// Every point of one combination of values.
void AddPoints(SweepFile& sweep, const std::vector<std::size_t>& values, const std::string& build,
               FileDigests& files) {
  std::vector<std::string> labels;
  for (std::size_t a = 0; a < values.size(); ++a)
    labels.push_back(sweep.axes[a].values[values[a]].label);
  std::vector<Experiment> experiments;
  for (std::int64_t r = 0; r < sweep.replications; ++r)
    experiments.push_back(sweep.Load({values, 0, r}));
  for (std::size_t s = 0; s < experiments.front().systems.size(); ++s) {
    for (std::int64_t r = 0; r < sweep.replications; ++r) {
      const Experiment& experiment = experiments[static_cast<std::size_t>(r)];
      SweepFile::Point& point = sweep.points.emplace_back();
      point.place = {values, s, r};
      point.labels = labels;
      point.labels.push_back(experiment.systems[s].choice.name);
      point.seed = experiment.seed;
      point.key = PointKey(experiment, s, build, files);
    }
  }
  if (sweep.points.size() > kMaxSweepPoints) {
    throw InputError({{},
                      "axes",
                      "more than " + std::to_string(kMaxSweepPoints) + " points",
                      "",
                      "split the sweep"});
  }
}

}  // namespace

std::vector<Axis> ReadAxes(MapReader& reader, const char* key) {
  std::vector<Axis> axes;
  for (MapReader& member : reader.Maps(key, "what varies; axes multiply")) {
    Axis axis = ReadAxis(member);
    const auto same = [&](const Axis& other) { return other.name == axis.name; };
    if (axis.name == kSystemAxis || std::any_of(axes.begin(), axes.end(), same)) {
      member.AddProblem(
          "", {"a second axis is called '" + axis.name + "'", "", "give it another `name`"});
    }
    axes.push_back(std::move(axis));
  }
  return axes;
}

bool AdvanceAxes(const std::vector<Axis>& axes, std::vector<std::size_t>& values) {
  for (std::size_t a = axes.size(); a-- > 0;) {
    if (++values[a] < axes[a].values.size()) return true;
    values[a] = 0;
  }
  return false;
}

Variation::Variation(const std::string& path, const SourceLoc& where, std::string data_root)
    : data_root_(std::move(data_root)) {
  namespace fs = std::filesystem;
  root_ = LoadYamlFile((fs::path(where.file).parent_path() / path).lexically_normal().string());
}

void Variation::Set(const std::string& key, Node value) { SetValue(root_, key, std::move(value)); }

void Variation::Set(const AxisValue& value) {
  for (const auto& [key, node] : value.set) SetValue(root_, key, node);
}

void Variation::Set(const std::string& key, const std::string& scalar) {
  SetValue(root_, key, Node::Scalar(scalar));
}

void Variation::Apply(const std::string& assignment) { ApplyOverride(root_, assignment); }

std::uint64_t Variation::seed() const {
  std::uint64_t seed = Experiment().seed;
  const Node* node = root_.Find("seed");
  if (node != nullptr) ParseText(node->scalar, seed);
  return seed;
}

void ApplyAll(const std::vector<std::string>& set, const std::vector<Axis>& axes, Variation& base) {
  for (const std::string& assignment : set) {
    const std::string key = assignment.substr(0, assignment.find('='));
    for (const Axis& axis : axes) {
      const auto& sets = axis.values.front().set;
      const auto is_key = [&](const auto& member) { return member.first == key; };
      if (std::none_of(sets.begin(), sets.end(), is_key)) continue;
      throw InputError({{"--set " + key, 0, 0},
                        "",
                        "the axis '" + axis.name + "' sets it",
                        "a key that does not vary",
                        "change the axis in the file"});
    }
    base.Apply(assignment);
  }
}

std::vector<std::string> SweepFile::AxisNames() const {
  std::vector<std::string> names;
  for (const Axis& axis : axes) names.push_back(axis.name);
  names.emplace_back(kSystemAxis);
  return names;
}

Experiment SweepFile::Load(const Place& place) const {
  Variation variation = base;
  for (std::size_t a = 0; a < axes.size(); ++a) variation.Set(axes[a].values[place.values[a]]);
  if (place.replication > 0) {
    variation.Set("seed",
                  std::to_string(variation.seed() + static_cast<std::uint64_t>(place.replication)));
  }
  return variation.Load();
}

SweepFile LoadSweepFile(const std::string& path, const std::vector<std::string>& set,
                        const std::string& data_root, const std::string& build,
                        std::optional<std::int64_t> replications_of_caller, Schema* schema) {
  Node root = LoadYamlFile(path);
  MapReader reader(root, schema);
  std::string name, experiment;
  reader.Required("name", name, {.doc = "name of the sweep; a store holds one"});
  reader.Required("experiment", experiment, {.doc = "the experiment; relative to this file"});
  const Node* fixed = reader.Raw("set", "values for all points: {workload.num_requests: 100}");
  if (fixed != nullptr && fixed->kind != NodeKind::kMap)
    reader.AddProblem("set", {"no mapping", "{workload.num_requests: 100}", ""});
  std::vector<Axis> axes = ReadAxes(reader, "axes");
  std::int64_t replications = 1;
  reader.Optional(
      "replications", replications,
      {.doc = "runs of each point, with seeds seed, seed + 1, ...", .min = 1, .max = 1000});
  std::vector<std::string> names;
  for (const Axis& axis : axes) names.push_back(axis.name);
  names.emplace_back(kSystemAxis);
  std::string contrast = kSystemAxis;
  if (schema != nullptr) names.clear();  // the axes of an example are no part of the schema
  reader.Optional("contrast", contrast,
                  {.doc = "axis along which `sweep show` compares: the name of one, or system",
                   .one_of = names});
  std::vector<std::string> metrics = {"output_throughput", "mean_ttft_ms", "p99_ttft_ms",
                                      "mean_itl_ms", "p99_itl_ms"};
  reader.Optional("metrics", metrics,
                  {.doc = "figures that `sweep show` shows", .one_of = FigureNames()});
  reader.Finish();

  SweepFile sweep{.name = name,
                  .base = Variation(experiment, PlaceOf(root, "experiment"), data_root),
                  .axes = std::move(axes),
                  .replications = replications_of_caller.value_or(replications),
                  .contrast = contrast,
                  .metrics = metrics,
                  .points = {}};
  sweep.base.Set("name", name);
  if (fixed != nullptr) {
    for (std::size_t i = 0; i < fixed->items.size(); ++i)
      sweep.base.Set(fixed->keys[i].text, fixed->items[i]);
  }
  ApplyAll(set, sweep.axes, sweep.base);
  FileDigests files;
  std::vector<std::size_t> values(sweep.axes.size(), 0);
  do {
    AddPoints(sweep, values, build, files);
  } while (AdvanceAxes(sweep.axes, values));
  return sweep;
}

}  // namespace sparseserve::config
