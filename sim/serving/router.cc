#include "sim/serving/router.h"

#include "sim/core/error.h"

namespace sparseserve::serving {
namespace {

class RoundRobin : public Router {
 public:
  explicit RoundRobin(std::int64_t /*max_requests*/) {}
  std::optional<std::size_t> Route(const std::vector<std::unique_ptr<Replica>>& replicas) override {
    return next_++ % replicas.size();
  }

 private:
  std::size_t next_ = 0;
};

std::size_t FindLeastLoaded(const std::vector<std::unique_ptr<Replica>>& replicas) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < replicas.size(); ++i) {
    if (replicas[i]->num_unfinished() < replicas[best]->num_unfinished()) best = i;
  }
  return best;
}

class LeastLoaded : public Router {
 public:
  explicit LeastLoaded(std::int64_t /*max_requests*/) {}
  std::optional<std::size_t> Route(const std::vector<std::unique_ptr<Replica>>& replicas) override {
    return FindLeastLoaded(replicas);
  }
};

class CentralQueue : public Router {
 public:
  explicit CentralQueue(std::int64_t max_requests) : max_requests_(max_requests) {}
  std::optional<std::size_t> Route(const std::vector<std::unique_ptr<Replica>>& replicas) override {
    const std::size_t best = FindLeastLoaded(replicas);
    if (replicas[best]->num_unfinished() >= max_requests_) return std::nullopt;
    return best;
  }

 private:
  std::int64_t max_requests_;
};

template <typename T>
std::unique_ptr<Router> Make(std::int64_t max_requests) {
  return std::make_unique<T>(max_requests);
}

struct Entry {
  std::string_view name;
  std::unique_ptr<Router> (*make)(std::int64_t max_requests);
};
constexpr Entry kRouters[] = {{"round-robin", Make<RoundRobin>},
                              {"least-loaded", Make<LeastLoaded>},
                              {"central-queue", Make<CentralQueue>}};

}  // namespace

std::unique_ptr<Router> MakeRouter(std::string_view name, std::int64_t max_requests) {
  std::string known;
  for (const Entry& entry : kRouters) {
    if (entry.name == name) return entry.make(max_requests);
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
