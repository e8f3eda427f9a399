// Preloaded into a program: call number SPARSESERVE_FAIL_AT, counted over write, fsync and rename
// from 1 on, fails with SPARSESERVE_FAIL_ERRNO, or kills the program when that is 0. Standard
// streams are left alone. At exit the number of calls goes to SPARSESERVE_FAIL_COUNT, a file, if
// that is set.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace {

std::atomic<long> calls{0};

long FromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? -1 : std::atol(text);
}

// Whether this call is the one.
bool Fails() {
  if (++calls != FromEnvironment("SPARSESERVE_FAIL_AT")) return false;
  const long error = FromEnvironment("SPARSESERVE_FAIL_ERRNO");
  if (error == 0) ::kill(::getpid(), SIGKILL);
  errno = static_cast<int>(error);
  return true;
}

template <typename Function>
Function Next(const char* name, Function) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

struct AtExit {
  ~AtExit() {
    const char* path = std::getenv("SPARSESERVE_FAIL_COUNT");
    if (path == nullptr) return;
    if (std::FILE* file = std::fopen(path, "w")) {
      std::fprintf(file, "%ld\n", calls.load());
      std::fclose(file);
    }
  }
} at_exit;

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  if (fd > 2 && Fails()) return -1;
  static const auto next = Next("write", &write);
  return next(fd, data, size);
}

int fsync(int fd) {
  if (Fails()) return -1;
  static const auto next = Next("fsync", &fsync);
  return next(fd);
}

int rename(const char* from, const char* to) noexcept {
  if (Fails()) return -1;
  using Rename = int (*)(const char*, const char*);
  static const Rename next = reinterpret_cast<Rename>(::dlsym(RTLD_NEXT, "rename"));
  return next(from, to);
}
}
