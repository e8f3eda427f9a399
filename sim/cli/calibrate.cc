#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <optional>

#include "calibration/record_fit.h"
#include "sim/cli/command.h"
#include "sim/cli/measure.h"
#include "sim/config/calibration_loader.h"
#include "sim/config/calibration_writer.h"
#include "sim/config/machine_loader.h"
#include "sim/config/machine_writer.h"
#include "sim/config/measurement_reader.h"
#include "sim/config/model_loader.h"
#include "sim/config/name_resolver.h"
#include "sim/config/value_text.h"
#include "sim/core/atomic_file.h"
#include "sim/core/error.h"
#include "sim/report/calibration_table.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve calibrate --backend cpu|cuda --out FILE.yaml [options]\n"
    "       sparseserve calibrate --from RAW.json --out FILE.yaml [options]\n\n"
    "Measures the kernels and transfers of this machine, or reads what kernels_bench measured on\n"
    "another one, and fits them into a calibration record (calibration/README.md). The table says "
    "how\n"
    "far each fit is off on points that it has not seen. All points are measured again and again\n"
    "until the budget is used up: where other machines share the host, its speed changes within\n"
    "minutes, and a budget of a quarter of an hour meets more of it.\n\n"
    "Without --machine, a machine file is made of what was measured and written beside the record "
    "as\n"
    "FILE.machine.yaml, so that the two serve 'simulate' together. With --machine the record is "
    "for\n"
    "that machine, and its efficiencies are relative to that machine's data sheet.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve calibrate --backend cpu --budget 2min --out out/laptop.yaml\n"
    "  sparseserve simulate EXPERIMENT.yaml --set hardware.machine=out/laptop.machine.yaml \\\n"
    "      --set hardware.calibration=out/laptop.yaml\n"
    "  sparseserve calibrate --from raw.json --machine h200-sxm --base h200-sxm \\\n"
    "      --out calibration/devices/my-h200.yaml\n";

constexpr double kMinBudgetSeconds = 1;
constexpr double kMaxBudgetSeconds = 86400;
constexpr std::string_view kExtension = ".yaml";
constexpr std::string_view kMachineExtension = ".machine.yaml";

[[noreturn]] void Fail(std::string key, std::string what, std::string expected,
                       std::string hint = "") {
  throw InputError({{}, std::move(key), std::move(what), std::move(expected), std::move(hint)});
}

// "5m" is what people write; elsewhere m could be taken for a metre or a milli.
Seconds ParseBudget(std::string text) {
  const std::string given = text;
  if (text.size() > 1 && text.back() == 'm' && text[text.size() - 2] >= '0' &&
      text[text.size() - 2] <= '9') {
    text += "in";
  }
  Seconds budget;
  const config::Field field{.min = kMinBudgetSeconds, .max = kMaxBudgetSeconds};
  if (config::ParseText(text, budget, field))
    Fail("--budget", "'" + given + "' is no budget", "a time from 1s to 24h, such as 5min");
  return budget;
}

struct CalibrateOptions {
  std::string out, machine_out;
  std::string name;
  std::string backend, from;  // one of them
  std::string nvbandwidth;
  std::optional<hardware::Machine> machine;
  std::optional<calibration::Record> base;
  MeasureRequest request;
};

void ReadFiles(const po::variables_map& values, CalibrateOptions& options) {
  const std::string root = FindDataRoot(values["data"].as<std::string>());
  const auto resolve = [&](config::Catalogue catalogue, const char* option) {
    const std::string name = values[option].as<std::string>();
    return name.empty()
               ? name
               : config::ResolveName(catalogue, name, root, {}, std::string("--") + option);
  };
  if (const auto path = resolve(config::Catalogue::kMachine, "machine"); !path.empty())
    options.machine = config::LoadMachine(path);
  if (const auto path = resolve(config::Catalogue::kCalibration, "base"); !path.empty())
    options.base = config::LoadCalibration(path);
  if (const auto path = resolve(config::Catalogue::kModel, "model"); !path.empty()) {
    options.request.model = config::LoadModel(path);
    options.request.model_path = path;
  }
}

// A budget of minutes must not end at a file that cannot be written.
void CheckWritable(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) MakeOutputDirectory(parent.string());
  AtomicFile{path};
}

CalibrateOptions ReadOptions(const po::variables_map& values) {
  CalibrateOptions options;
  const auto text = [&](const char* option) { return values[option].as<std::string>(); };
  options.out = text("out");
  if (!options.out.ends_with(kExtension) || options.out.size() == kExtension.size())
    Fail("--out", options.out.empty() ? "no file is given" : "'" + options.out + "'",
         "a path that ends in .yaml");
  const std::string stem = options.out.substr(0, options.out.size() - kExtension.size());
  options.machine_out = stem + std::string(kMachineExtension);
  options.name =
      text("name").empty() ? std::filesystem::path(stem).filename().string() : text("name");
  if (options.name.find_first_of("/\n\r\t") != std::string::npos)
    Fail("--name", "'" + options.name + "' is no name", "a word");
  options.backend = text("backend");
  options.from = text("from");
  if (options.backend.empty() == options.from.empty())
    Fail("calibrate", options.from.empty() ? "nothing to measure" : "--backend beside --from",
         "either --backend or --from", "see 'sparseserve calibrate --help'");
  if (!options.backend.empty() && options.backend != "cpu" && options.backend != "cuda")
    Fail("--backend", "'" + options.backend + "' is not known", "cpu or cuda");
  for (const char* option : {"budget", "model", "block-tokens", "seed"}) {
    if (!options.from.empty() && !values[option].defaulted())
      Fail(std::string("--") + option, "nothing is measured with --from", "--backend");
  }
  options.nvbandwidth = text("nvbandwidth");
  options.request.backend = options.backend;
  options.request.budget = ParseBudget(text("budget"));
  options.request.block_tokens = ParseInteger(text("block-tokens"), "block-tokens", 1, 4096);
  options.request.seed =
      static_cast<std::uint64_t>(ParseInteger(text("seed"), "seed", 0, INT64_MAX));
  ReadFiles(values, options);
  return options;
}

po::options_description Options() {
  po::options_description options = CommonOptions();
  options.add_options()("backend", Text("cpu|cuda"), "measure this machine with these kernels")(
      "from", Text("RAW.json"), "fit what 'kernels_bench' wrote, here or elsewhere")(
      "out", Text("FILE.yaml"), "the record to write")(
      "budget", Text("TIME", "5min"), "how long to measure; longer is finer and more certain")(
      "model", Text("NAME"), "model whose shapes are measured (default: the harness's own)")(
      "block-tokens", Text("N", "16"), "size of the KV blocks that attention is measured with")(
      "seed", Text("N", "1"), "of the sizes that are held out and the order of measurements")(
      "nvbandwidth", Text("FILE.json"),
      "output of 'nvbandwidth --json': its link bandwidths replace the measured ones")(
      "name", Text("NAME"), "of the record (default: FILE without .yaml)")(
      "machine", Text("NAME"), "machine that the record is for (default: one is made)")(
      "base", Text("NAME"), "record that gives what was not measured");
  return options;
}

calibration::MeasurementSet Collect(const CalibrateOptions& options) {
  calibration::MeasurementSet set = options.from.empty() ? MeasureThisMachine(options.request)
                                                         : config::LoadMeasurements(options.from);
  if (options.nvbandwidth.empty()) return set;
  for (auto& [key, value] : config::LoadNvbandwidth(options.nvbandwidth)) set.values[key] = value;
  return set;
}

}  // namespace

int Calibrate(const Arguments& arguments) {
  const po::options_description description = Options();
  const po::variables_map values = Parse(arguments, description, {}, "calibrate");
  if (values.count("help") != 0) {
    std::cout << kUsage << description << kExamples;
    return kDone;
  }
  const CalibrateOptions options = ReadOptions(values);
  const bool makes_machine = !options.machine.has_value();
  CheckWritable(options.out);
  const calibration::MeasurementSet set = Collect(options);
  if (const std::string fault = ExplainFault(set); !fault.empty())
    Fail("calibrate", fault, "a complete measurement", "try a longer --budget");

  calibration::FitOptions fit;
  fit.name = options.name;
  fit.base = options.base ? &*options.base : nullptr;
  fit.peaks = calibration::FindPeaks(set);
  if (options.machine) {
    fit.machine = options.machine->name;
    fit.peaks = {options.machine->gpu.hbm_bandwidth, options.machine->gpu.bf16_flops};
  }
  const calibration::Record record = FitRecord(set, fit);
  std::optional<AtomicFile> machine_file;
  if (makes_machine) {
    const std::string path = "./" + std::filesystem::path(options.out).filename().string();
    const hardware::Machine machine = config::DeriveMachine(record, fit.peaks, path);
    machine_file.emplace(options.machine_out);
    machine_file->Append(config::WriteMachine(machine));
    machine_file->Seal();
  }
  AtomicFile file(options.out);
  file.Append(config::WriteCalibration(record));
  file.Seal();
  if (machine_file) machine_file->Commit();
  file.Commit();
  std::cout << report::CalibrationTable(record);
  std::cerr << "record in " << options.out
            << (makes_machine ? ", machine in " + options.machine_out : "") << "\n";
  return kDone;
}

}  // namespace sparseserve::cli
