// Invariants of ours: on in every build, because a simulator that goes on after a broken invariant
// prints numbers that nobody should believe.
#pragma once

#include <string_view>

namespace sparseserve::internal {
// Prints "file:line: check failed: expression (detail)" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression,
                              std::string_view detail);
}  // namespace sparseserve::internal

#define SPARSESERVE_CHECK(condition, detail)                                        \
  do {                                                                              \
    if (!(condition)) [[unlikely]]                                                  \
      ::sparseserve::internal::CheckFailed(__FILE__, __LINE__, #condition, detail); \
  } while (false)
