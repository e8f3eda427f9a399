// A library that is looked for at run time, so that no binary needs it to start.
#pragma once

#include <string>
#include <vector>

namespace sparseserve::kernels::cuda {

class SharedLibrary {
 public:
  // Opens the first of `names` that the system finds; is_open() tells. Never closed again: CUDA
  // libraries keep threads and handlers.
  explicit SharedLibrary(const std::vector<std::string>& names);

  bool is_open() const { return handle_ != nullptr; }
  // Why the names could not be opened, as the system puts it.
  const std::string& error() const { return error_; }
  // Null where the library does not have it. REQUIRES: is_open().
  template <typename Function>
  Function* Find(const char* symbol) const {
    return reinterpret_cast<Function*>(FindAddress(symbol));
  }

 private:
  void* FindAddress(const char* symbol) const;

  void* handle_ = nullptr;
  std::string error_;
};

}  // namespace sparseserve::kernels::cuda
