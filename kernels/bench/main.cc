// kernels_bench: measures a device through its backend. Either everything that a calibration record
// needs (`sparseserve calibrate --from FILE` fits it), or with --matrix the bench matrix.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/bench/bench_matrix.h"
#include "kernels/bench/calibration_plan.h"
#include "kernels/bench/commit.h"  // written by commit.cmake
#include "kernels/bench/json_writer.h"
#include "sim/core/atomic_file.h"

namespace sparseserve::bench {
namespace {

constexpr char kHelp[] =
    "usage: kernels_bench --backend cpu|cuda [options]\n\n"
    "  --budget TIME     how long to measure, as 90s or 5m (default 5m)\n"
    "  --out FILE.json   where the measurements go (default: standard output; with --matrix: "
    "none)\n"
    "  --matrix          the bench matrix as Markdown instead of what a calibration needs\n"
    "  --quick           --budget 10s; with --matrix also few sizes\n"
    "  --filter RE       only operations and values whose names match\n"
    "  --warm            repeat the same inputs, so that the caches hold them\n"
    "  --threads N       CPU threads of the compute lane (cpu; default: most cores)\n"
    "  --scatter N       CPU threads that scatter what FlashD2H saves (default: an eighth of the "
    "cores)\n"
    "  --device N        which GPU (default 0)\n"
    "  --commit TEXT     commit of the sources, where git does not know\n\n"
    "exit codes: 0 done, 1 a wrong result or a failed device, 2 bad arguments or no such device\n";

struct Arguments {
  std::string backend;
  std::string out;
  double budget_s = 300;
  bool matrix = false;
  bool quick = false;
  bool warm = false;
  std::string filter;
  std::string commit = SPARSESERVE_COMMIT;
  kernels::BackendConfig config;
};

class BadArguments : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

int ParseCount(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < 0 || value > 4096) {
    throw BadArguments(option + ": '" + text + "' is no number from 0 to 4096");
  }
  return static_cast<int>(value);
}

double ParseSeconds(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  if (end == text.c_str() || !(value > 0 && value < 1e5) || (unit != "s" && unit != "m")) {
    throw BadArguments(option + ": '" + text + "' is no time such as 90s or 5m");
  }
  return unit == "m" ? 60 * value : value;
}

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  arguments.config = kernels::DefaultBackendConfig();
  bool has_budget = false;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= argc) throw BadArguments(option + ": missing value");
      return argv[++i];
    };
    if (option == "--backend") {
      arguments.backend = value();
    } else if (option == "--budget") {
      arguments.budget_s = ParseSeconds(option, value());
      has_budget = true;
    } else if (option == "--out") {
      arguments.out = value();
    } else if (option == "--matrix") {
      arguments.matrix = true;
    } else if (option == "--quick") {
      arguments.quick = true;
    } else if (option == "--warm") {
      arguments.warm = true;
    } else if (option == "--filter") {
      arguments.filter = value();
    } else if (option == "--commit") {
      arguments.commit = value();
    } else if (option == "--threads") {
      arguments.config.compute_threads = std::max(1, ParseCount(option, value()));
      arguments.config.transfer_threads = arguments.config.compute_threads;
    } else if (option == "--scatter") {
      arguments.config.scatter_threads = std::max(1, ParseCount(option, value()));
    } else if (option == "--device") {
      arguments.config.device = ParseCount(option, value());
    } else {
      throw BadArguments("unknown option '" + option + "'; --help lists them");
    }
  }
  if (arguments.backend.empty()) throw BadArguments("--backend cpu or --backend cuda is missing");
  if (arguments.quick && !has_budget) arguments.budget_s = 10;
  return arguments;
}

volatile std::sig_atomic_t interrupted = 0;
void Interrupt(int) { interrupted = 1; }

// Only a terminal gets a progress line.
void ShowProgress(const std::string& what, double fraction) {
  if (isatty(STDERR_FILENO) != 0)
    std::fprintf(stderr, "\r\033[K%3.0f %%  %s", 100 * fraction, what.c_str());
}
void WipeProgress() {
  if (isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r\033[K");
}

void Save(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.Append(text);
  file.Commit();
}

void RunMatrix(kernels::Backend& backend, const Arguments& arguments,
               const kernels::StagingRingOptions& ring) {
  Workbench workbench(backend, DefaultModelShape(backend.name()),
                      ChoosePoolSizes(backend, arguments.quick), ring, 1);
  MatrixOptions options{arguments.budget_s, arguments.quick, ShowProgress,
                        [] { return interrupted != 0; }};
  const MatrixResult result = MeasureMatrix(workbench, options);
  WipeProgress();
  PrintMarkdown(result, backend.Describe(), std::cout);
  if (arguments.out.empty()) return;
  std::ostringstream text;
  WriteMatrix(result, DescribeDevice(backend, arguments.commit), text);
  Save(arguments.out, text.str());
}

void RunCalibration(kernels::Backend& backend, const Arguments& arguments,
                    const kernels::StagingRingOptions& ring) {
  MeasureOptions options;
  options.budget_s = arguments.budget_s;
  options.ring = ring;
  options.filter = arguments.filter;
  options.warm = arguments.warm;
  options.commit = arguments.commit;
  options.progress = ShowProgress;
  options.cancelled = [] { return interrupted != 0; };
  const calibration::MeasurementSet set = MeasureDevice(backend, options);
  WipeProgress();
  std::ostringstream text;
  WriteMeasurements(set, text);
  if (arguments.out.empty()) {
    std::cout << text.str();
  } else {
    Save(arguments.out, text.str());
  }
}

int Run(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--help") {
      std::cout << kHelp;
      return 0;
    }
  }
  try {
    const Arguments arguments = Parse(argc, argv);
    const auto backend = kernels::MakeBackend(arguments.backend, arguments.config);
    const kernels::StagingRingOptions ring{arguments.config.num_staging_slots,
                                           arguments.config.staging_slot,
                                           arguments.config.scatter_threads, nullptr};
    std::signal(SIGINT, Interrupt);
    if (arguments.matrix) {
      RunMatrix(*backend, arguments, ring);
    } else {
      RunCalibration(*backend, arguments, ring);
    }
    return 0;
  } catch (const BadArguments& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return 2;
  } catch (const kernels::BackendUnavailable& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "\nkernels_bench: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace sparseserve::bench

int main(int argc, char** argv) { return sparseserve::bench::Run(argc, argv); }
