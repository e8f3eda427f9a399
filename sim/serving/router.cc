#include "sim/serving/router.h"

#include "sim/core/error.h"

namespace sparseserve::serving {
namespace {

class RoundRobin : public Router {
 public:
  std::size_t Route(const std::vector<std::unique_ptr<Replica>>& replicas) override {
    return next_++ % replicas.size();
  }

 private:
  std::size_t next_ = 0;
};

class LeastLoaded : public Router {
 public:
  std::size_t Route(const std::vector<std::unique_ptr<Replica>>& replicas) override {
    std::size_t best = 0;
    for (std::size_t i = 1; i < replicas.size(); ++i) {
      if (replicas[i]->num_unfinished() < replicas[best]->num_unfinished()) best = i;
    }
    return best;
  }
};

template <typename T>
std::unique_ptr<Router> Make() {
  return std::make_unique<T>();
}

struct Entry {
  std::string_view name;
  std::unique_ptr<Router> (*make)();
};
constexpr Entry kRouters[] = {{"round-robin", Make<RoundRobin>},
                              {"least-loaded", Make<LeastLoaded>}};

}  // namespace

std::unique_ptr<Router> MakeRouter(std::string_view name) {
  std::string known;
  for (const Entry& entry : kRouters) {
    if (entry.name == name) return entry.make();
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw InputError({.where = {},
                    .key = "router",
                    .what = "unknown router '" + std::string(name) + "'",
                    .expected = "one of " + known,
                    .hint = ""});
}

std::vector<std::string> RouterNames() {
  std::vector<std::string> names;
  for (const Entry& entry : kRouters) names.emplace_back(entry.name);
  return names;
}

}  // namespace sparseserve::serving
