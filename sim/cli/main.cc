// sparseserve: dispatches a verb, turns what it throws into one line and an exit code.
#include <cstdio>
#include <iostream>
#include <new>
#include <system_error>

#include "sim/cli/command.h"
#include "sim/cli/commit.h"  // written by commit.cmake
#include "sim/core/error.h"

namespace {

using sparseserve::cli::Arguments;

struct Verb {
  const char* name;
  const char* what;
  int (*run)(const Arguments&);
};
constexpr Verb kVerbs[] = {
    {"simulate", "run an experiment file and compare its systems", sparseserve::cli::Simulate},
    {"live", "serve an experiment for real and compare with its prediction",
     sparseserve::cli::Live},
    {"sweep", "run an experiment along axes with several seeds, and compare with intervals",
     sparseserve::cli::Sweep},
    {"plan", "GPUs that a demand needs under a service level, ranked and verified",
     sparseserve::cli::Plan},
    {"trace", "look at, convert or make workload traces", sparseserve::cli::Trace},
    {"model", "sizes of a model, and how much of it fits a machine", sparseserve::cli::Model},
    {"calibrate", "measure this machine, or fit measurements, into a calibration record",
     sparseserve::cli::Calibrate},
    {"compare", "two results side by side: measured and predicted, component by component",
     sparseserve::cli::Compare},
    {"report", "one self-contained HTML file on runs, a sweep or a plan", sparseserve::cli::Report},
    {"explain", "where the time of a result went, what bound it, what would change it",
     sparseserve::cli::Explain},
};

void PrintHelp(std::ostream& out) {
  out << "sparseserve predicts what serving with dynamic sparse attention and KV offload gives\n\n"
         "usage: sparseserve VERB [options]\n\n";
  for (const Verb& verb : kVerbs) {
    out << "  " << verb.name << std::string(12 - std::string(verb.name).size(), ' ') << verb.what
        << "\n";
  }
  out << "\n  --help      this text; 'sparseserve VERB --help' explains a verb\n"
         "  --version   version and commit\n\n"
         "try\n"
         "  sparseserve simulate configs/run/longbench.yaml\n"
         "  sparseserve model info llama3-8b-262k --machine h100-sxm-pcie5\n\n"
         "exit codes: 0 done, 1 our fault, 2 bad input, 3 SLO infeasible, 4 tolerance exceeded,\n"
         "            130 stopped by Ctrl-C\n";
}

std::string Known(const std::vector<std::string>& names) {
  std::string text = names.front();
  for (std::size_t i = 1; i < names.size(); ++i)
    text += (i + 1 < names.size() ? ", " : " or ") + names[i];
  return text;
}

int Run(const Arguments& arguments) {
  if (arguments.empty()) {
    PrintHelp(std::cerr);
    return sparseserve::cli::kBadInput;
  }
  const std::string& word = arguments.front();
  if (word == "--help" || word == "-h" || word == "help") {
    PrintHelp(std::cout);
    return sparseserve::cli::kDone;
  }
  if (word == "--version") {
    std::cout << "sparseserve " SPARSESERVE_VERSION " (" SPARSESERVE_COMMIT ")\n";
    return sparseserve::cli::kDone;
  }
  std::vector<std::string> names;
  for (const Verb& verb : kVerbs) {
    if (word == verb.name) return verb.run({arguments.begin() + 1, arguments.end()});
    names.emplace_back(verb.name);
  }
  const std::string close = sparseserve::ClosestMatch(word, names);
  throw sparseserve::InputError(
      {.where = {},
       .key = "",
       .what = "unknown verb '" + word + "'",
       .expected = Known(names),
       .hint = close.empty() ? "see 'sparseserve --help'" : "did you mean '" + close + "'?"});
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int code = Run({argv + 1, argv + argc});
    std::cout.flush();
    if (!std::cout) throw std::system_error(errno, std::generic_category(), "standard output");
    return code;
  } catch (const sparseserve::InputError& error) {
    std::fprintf(stderr, "sparseserve: %s\n", error.what());
    return sparseserve::cli::kBadInput;
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "sparseserve: %s\n", error.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "sparseserve: out of memory; use fewer requests or fewer --threads\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sparseserve: internal error: %s\n", error.what());
  }
  return sparseserve::cli::kOurFault;
}
