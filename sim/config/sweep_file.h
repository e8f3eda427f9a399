// A sweep file (configs/sweeps/*.yaml): an experiment, axes along which its values vary, and how
// often each point is repeated with another seed.
//
//   name: window
//   experiment: ../run/longbench.yaml     # relative to this file
//   set: {workload.num_requests: 100}     # for all points
//   axes:
//     - {key: memory.working_set_window, values: [1, 4, 12, 16]}
//     - name: load                        # several keys that vary together
//       zip:
//         - {key: workload.rate, values: [0.2/s, 0.4/s]}
//         - {key: workload.num_requests, values: [100, 200]}
//   replications: 5
//
// Axes multiply; the systems of the experiment are the last axis, "system". The seed of replication
// r is the experiment's seed + r, for all points alike (common random numbers).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/digest.h"
#include "sim/config/experiment.h"

namespace sparseserve::config {

// One value of an axis: its label, and what it sets.
struct AxisValue {
  std::string label;
  std::vector<std::pair<std::string, Node>> set;
};
struct Axis {
  std::string name;
  std::vector<AxisValue> values;
};

inline constexpr const char* kSystemAxis = "system";
inline constexpr std::size_t kMaxSweepPoints = 1'000'000;

// Reads the list of axes at `key`. Problems go to the reader.
std::vector<Axis> ReadAxes(MapReader& reader, const char* key);
// Goes to the next combination of values, the last axis fastest; false after the last one.
bool AdvanceAxes(const std::vector<Axis>& axes, std::vector<std::size_t>& values);

// An experiment and what is set in it, to be varied further.
class Variation {
 public:
  explicit Variation(std::string data_root) : data_root_(std::move(data_root)) {}  // of nothing yet
  // `path` as it stands in a file at `where`; relative to that file.
  Variation(const std::string& path, const SourceLoc& where, std::string data_root);

  // Later settings win. Throws InputError for a path that the experiment cannot have.
  void Set(const std::string& key, Node value);
  void Set(const AxisValue& value);
  void Set(const std::string& key, const std::string& scalar);  // made here, in no file
  void Apply(const std::string& assignment);                    // of --set
  std::uint64_t seed() const;  // the experiment's; its default where it is absent or wrong
  // Throws InputError as LoadExperiment does.
  Experiment Load() const { return LoadExperiment(root_, data_root_); }

 private:
  Node root_;
  std::string data_root_;
};

// Applies assignments of --set to what all points share. Throws InputError for a key that an axis
// sets: the axis would silently win.
void ApplyAll(const std::vector<std::string>& set, const std::vector<Axis>& axes, Variation& base);

struct SweepFile {
  // A point in terms of the file: which value of each axis, which system, which repetition.
  struct Place {
    std::vector<std::size_t> values;
    std::size_t system = 0;
    std::int64_t replication = 0;
  };
  struct Point {
    Place place;
    std::vector<std::string> labels;  // of the axes, the system last
    std::uint64_t seed = 0;
    std::string key;
  };

  std::string name;
  Variation base;
  std::vector<Axis> axes;
  std::int64_t replications = 1;
  std::string contrast = kSystemAxis;
  std::vector<std::string> metrics;
  std::vector<Point> points;  // row-major over the axes, then systems, then replications

  std::vector<std::string> AxisNames() const;  // "system" last
  // The experiment of a point; run its system `place.system`.
  Experiment Load(const Place& place) const;
};

// Reads and checks every point. `set`: assignments of the command line, for all points. `build`:
// see PointKey. `replications`: instead of the file's, at least 1. Throws InputError; a problem of
// a value names its place in this file.
SweepFile LoadSweepFile(const std::string& path, const std::vector<std::string>& set,
                        const std::string& data_root, const std::string& build,
                        std::optional<std::int64_t> replications = std::nullopt,
                        Schema* schema = nullptr);

}  // namespace sparseserve::config
