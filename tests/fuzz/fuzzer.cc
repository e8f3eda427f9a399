// libFuzzer's entry for one target, chosen when it is built.
#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const sparseserve::fuzz::Target& target : sparseserve::fuzz::Targets()) {
    if (target.name != SPARSESERVE_FUZZ_TARGET) continue;
    target.run({reinterpret_cast<const char*>(data), size});
    return 0;
  }
  std::abort();
}
