// Every parser that reads what a user hands in, as a function of bytes. Whatever the bytes, it
// ends, refuses with an InputError, or succeeds; anything else (another exception, a check, a
// sanitizer) ends the program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sparseserve::fuzz {

struct Target {
  std::string name;
  std::vector<std::string> corpora;  // files and folders to start from, relative to the checkout
  void (*run)(std::string_view bytes);
};

const std::vector<Target>& Targets();

}  // namespace sparseserve::fuzz
