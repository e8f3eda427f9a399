#include "kernels/cuda/shared_library.h"

#include <dlfcn.h>

namespace sparseserve::kernels::cuda {

SharedLibrary::SharedLibrary(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) return;
    if (const char* reason = dlerror())
      error_ += (error_.empty() ? "" : "; ") + std::string(reason);
  }
}

void* SharedLibrary::FindAddress(const char* symbol) const { return dlsym(handle_, symbol); }

}  // namespace sparseserve::kernels::cuda
