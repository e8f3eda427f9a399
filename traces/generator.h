// Workloads made here: lengths drawn from measured LongBench samples or from a distribution,
// arrival times from an arrival process. A stream is a function of its options alone; lengths and
// arrivals come from separate random streams, so another rate leaves the lengths as they are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "traces/arrivals.h"
#include "traces/request.h"

namespace sparseserve::traces {

enum class Tokenizer : std::uint8_t { kLlama2, kLlama3 };

enum class OutputLengths : std::uint8_t {
  // What a real model wrote, cut at the generation cap of the task: Llama-2-7B-chat for kLlama2,
  // Llama-3-8B-instruct for kLlama3, each counted with its own tokenizer.
  kNatural,
  kGenerationCap,  // the cap of the task: every answer runs to the end
};

enum class Mix : std::uint8_t {
  kTasks,    // each task equally likely, then a sample of it
  kSamples,  // each sample equally likely: tasks weigh as many samples as they have
};

struct LongBenchOptions {
  std::string table = "traces/longbench_lengths.csv";  // README.md says what it holds
  // Names of the table, or "multifieldqa" for its English and Chinese samples in one. The default
  // is the mix of ten tasks of the SparseServe evaluation.
  std::vector<std::string> tasks = {"qasper",     "narrativeqa", "multifieldqa", "dureader",
                                    "gov_report", "qmsum",       "multi_news",   "vcsum",
                                    "lcc",        "repobench-p"};
  Tokenizer tokenizer = Tokenizer::kLlama3;
  OutputLengths output = OutputLengths::kNatural;
  Tokens max_prompt{0};  // longer prompts are cut to it; 0: no cap
  Mix mix = Mix::kTasks;
  std::int64_t num_requests = 1000;
  ArrivalOptions arrivals;
  std::uint64_t seed = 1;
};

// Samples with replacement, so prompts repeat in a long trace; only their lengths matter here.
// Prompt lengths are estimates (README.md). Throws InputError on a bad table or bad options.
std::unique_ptr<RequestStream> GenerateLongBench(const LongBenchOptions& options);

enum class LengthKind : std::uint8_t {
  kConstant,     // `mean`, rounded
  kUniform,      // whole numbers of [min, max], both included; mean is not used
  kNormal,       // mean and standard deviation before truncation
  kLogNormal,    // mean and standard deviation of the lengths, not of their logarithm
  kExponential,  // mean before truncation
};

// kNormal, kLogNormal and kExponential are rounded and drawn again until they lie in [min, max];
// this shifts mean and deviation where the range cuts much.
struct LengthDistribution {
  LengthKind kind = LengthKind::kConstant;
  double mean = 1024;               // tokens
  double standard_deviation = 256;  // tokens
  Tokens min{1};
  Tokens max{1'000'000};
};

struct SyntheticOptions {
  LengthDistribution prompt;
  LengthDistribution output{.mean = 128, .standard_deviation = 32};
  std::int64_t num_requests = 1000;
  ArrivalOptions arrivals;
  std::uint64_t seed = 1;
};

// Throws InputError on options out of range, and if hardly any draw lies in [min, max].
std::unique_ptr<RequestStream> GenerateSynthetic(const SyntheticOptions& options);

}  // namespace sparseserve::traces
