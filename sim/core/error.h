// The error of a wrong input: configuration, trace, model or calibration file, command line.
//
// Thrown where the input is read, caught once in main(), which prints what() as one line and exits
// with 2. Failures of the environment (disk, permissions) are std::system_error; broken invariants
// of ours are SPARSESERVE_CHECK.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace sparseserve {

// Where in a file something stands. line and column count from 1; 0 means "not known".
struct SourceLoc {
  std::string file;
  int line = 0;
  int column = 0;
};

struct InputProblem {
  SourceLoc where;
  std::string key;       // path of the key, "gpu.hbm"; empty if there is none
  std::string what;      // what was found: "'80' has no unit"
  std::string expected;  // what is accepted: "B, kB, MB, GB, KiB, MiB or GiB"
  std::string hint;      // what to do: "write 80GB"
};

// "file:line: key: what; expected ...; hint", leaving out what is empty.
std::string ToString(const InputProblem& problem);
std::string ToString(const std::vector<InputProblem>& problems);  // one line each

class InputError : public std::runtime_error {
 public:
  explicit InputError(InputProblem problem)
      : std::runtime_error(ToString(problem)), problem_(std::move(problem)) {}

  // Several problems of one file: what() has one line per problem. REQUIRES: !problems.empty().
  explicit InputError(const std::vector<InputProblem>& problems)
      : std::runtime_error(ToString(problems)), problem_(problems.front()) {}

  const InputProblem& problem() const { return problem_; }  // the first one

 private:
  InputProblem problem_;
};

// The entry of `known` closest to `word` by edit distance, for "did you mean"; empty when none is
// close.
template <typename Container>
std::string ClosestMatch(const std::string& word, const Container& known);

// Levenshtein distance of two words. O(|a| |b|).
std::size_t EditDistance(const std::string& a, const std::string& b);

template <typename Container>
std::string ClosestMatch(const std::string& word, const Container& known) {
  std::string best;
  std::size_t best_distance = word.size() / 3 + 2;  // one typo in a short word, more in a long one
  for (const auto& candidate : known) {
    const std::size_t distance = EditDistance(word, std::string(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = std::string(candidate);
    }
  }
  return best;
}

}  // namespace sparseserve
