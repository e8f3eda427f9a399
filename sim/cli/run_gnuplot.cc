#include "sim/cli/run_gnuplot.h"

#include <sys/wait.h>
#include <unistd.h>

namespace sparseserve::cli {

// No shell, so nothing in a path is a command.
bool RunGnuplot(const std::string& directory, const std::string& script) {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    if (chdir(directory.c_str()) == 0) execlp("gnuplot", "gnuplot", script.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace sparseserve::cli
