// Streams and files for the tests of traces/.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/error.h"
#include "traces/request.h"

namespace sparseserve::traces {

// A file that lives as long as this object.
class TestFile {
 public:
  explicit TestFile(const std::string& content = "") {
    static int next = 0;
    path_ = ::testing::TempDir() + "sparseserve_traces_" + std::to_string(::getpid()) + "_" +
            std::to_string(next++);
    std::ofstream(path_, std::ios::binary) << content;
  }
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  ~TestFile() { std::remove(path_.c_str()); }

  const std::string& path() const { return path_; }
  std::string Read() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string path_;
};

class VectorStream : public RequestStream {
 public:
  explicit VectorStream(std::vector<Request> requests) : requests_(std::move(requests)) {}

  std::optional<Request> Next() override {
    if (next_ == requests_.size()) return std::nullopt;
    return requests_[next_++];
  }

 private:
  std::vector<Request> requests_;
  std::size_t next_ = 0;
};

// Requests of 100 prompt and 10 output tokens at these times.
inline std::unique_ptr<RequestStream> StreamAt(const std::vector<std::int64_t>& arrivals_ns) {
  std::vector<Request> requests;
  for (const std::int64_t ns : arrivals_ns) {
    const auto id = static_cast<std::int64_t>(requests.size());
    requests.push_back({id, SimTime(ns), Tokens(100), Tokens(10)});
  }
  return std::make_unique<VectorStream>(std::move(requests));
}

inline std::vector<Request> ReadAll(RequestStream& stream) {
  std::vector<Request> requests;
  while (auto request = stream.Next()) requests.push_back(*request);
  return requests;
}
inline std::vector<Request> ReadAll(std::unique_ptr<RequestStream> stream) {
  return ReadAll(*stream);
}

inline std::vector<std::int64_t> ArrivalsNs(const std::vector<Request>& requests) {
  std::vector<std::int64_t> arrivals_ns;
  for (const Request& request : requests) arrivals_ns.push_back(request.arrival.ns());
  return arrivals_ns;
}

// What every stream promises: dense ids from 0, arrivals that never decrease, positive lengths.
inline void ExpectValid(const std::vector<Request>& requests) {
  SimTime last;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_EQ(requests[i].id, static_cast<std::int64_t>(i));
    ASSERT_GE(requests[i].arrival, last);
    ASSERT_GT(requests[i].prompt, Tokens(0));
    ASSERT_GT(requests[i].output, Tokens(0));
    last = requests[i].arrival;
  }
}

// The message of the InputError that `action` throws; "" and a failure if it throws none.
template <typename Action>
std::string ErrorOf(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no InputError";
  return "";
}

}  // namespace sparseserve::traces
