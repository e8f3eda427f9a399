#include <algorithm>
#include <utility>

#include "sim/core/error.h"
#include "traces/csv.h"
#include "traces/generator.h"
#include "traces/row_parser.h"

namespace sparseserve::traces {
namespace {

struct Sample {
  Tokens prompt;
  Tokens output;
};

struct Task {
  std::string name;
  std::vector<Sample> samples;
};

// The entry of options.tasks that takes the samples of `table_task`: its own name or its group.
std::string_view GroupOf(std::string_view table_task) {
  if (table_task == "multifieldqa_en" || table_task == "multifieldqa_zh") return "multifieldqa";
  return table_task;
}

class Table {
 public:
  explicit Table(const LongBenchOptions& options) : csv_(LineReader(options.table)) {
    const bool llama2 = options.tokenizer == Tokenizer::kLlama2;
    const bool natural = options.output == OutputLengths::kNatural;
    task_ = csv_.Require("task");
    prompt_ = csv_.Require(llama2 ? "prompt_tokens_llama2" : "prompt_tokens_llama3");
    output_ = csv_.Require(!natural ? "gen_cap"
                           : llama2 ? "output_tokens_llama2_7b_chat"
                                    : "output_tokens_llama3_8b_instruct");
  }

  // Appends each sample to the tasks that ask for it, and its task to `known`.
  void Read(std::vector<Task>& tasks, std::vector<std::string>& known) {
    while (csv_.Next()) {
      const auto& fields = csv_.fields();
      if (fields.size() != csv_.header().size()) {
        throw InputError({csv_.where(), "", "row has " + std::to_string(fields.size()) + " columns",
                          std::to_string(csv_.header().size()) + " as in the header", ""});
      }
      const std::string_view name = fields[task_];
      if (known.empty() || known.back() != name) known.emplace_back(name);
      const Sample sample = {Number(prompt_), Number(output_)};
      for (Task& task : tasks) {
        if (task.name == name || task.name == GroupOf(name)) task.samples.push_back(sample);
      }
    }
  }

 private:
  Tokens Number(std::size_t column) const {
    return ParseTokens(csv_.fields()[column], csv_.where(), csv_.header()[column]);
  }

  CsvReader csv_;
  std::size_t task_ = 0;
  std::size_t prompt_ = 0;
  std::size_t output_ = 0;
};

std::vector<Task> LoadTasks(const LongBenchOptions& options) {
  std::vector<Task> tasks;
  for (const std::string& name : options.tasks) tasks.push_back({name, {}});
  if (tasks.empty())
    throw InputError({{}, "workload.tasks", "the list is empty", "one task or more", ""});
  std::vector<std::string> known;
  Table(options).Read(tasks, known);
  for (const Task& task : tasks) {
    if (!task.samples.empty()) continue;
    const std::string close = ClosestMatch(task.name, known);
    throw InputError({{},
                      "workload.tasks",
                      "no samples of task '" + task.name + "'",
                      "tasks of " + options.table,
                      close.empty() ? "" : "is '" + close + "' meant?"});
  }
  return tasks;
}

class LongBenchStream : public RequestStream {
 public:
  explicit LongBenchStream(const LongBenchOptions& options)
      : tasks_(LoadTasks(options)),
        max_prompt_(options.max_prompt),
        num_requests_(options.num_requests),
        clock_(options.arrivals, options.seed),
        random_(options.seed, "longbench") {
    if (options.mix == Mix::kSamples) PoolTasks();
  }

  std::optional<Request> Next() override {
    if (next_id_ >= num_requests_) return std::nullopt;
    const Sample& sample = Pick(Pick(tasks_).samples);
    const bool cut = max_prompt_ > Tokens(0) && sample.prompt > max_prompt_;
    return Request{next_id_++, clock_.Next(), cut ? max_prompt_ : sample.prompt, sample.output};
  }

 private:
  // One task that holds all samples.
  void PoolTasks() {
    for (std::size_t i = 1; i < tasks_.size(); ++i) {
      tasks_[0].samples.insert(tasks_[0].samples.end(), tasks_[i].samples.begin(),
                               tasks_[i].samples.end());
    }
    tasks_.resize(1);
  }

  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    const auto last = static_cast<std::int64_t>(from.size()) - 1;
    return from[static_cast<std::size_t>(random_.UniformInt(0, last))];
  }

  std::vector<Task> tasks_;
  Tokens max_prompt_;
  std::int64_t num_requests_;
  ArrivalClock clock_;
  RandomStream random_;
  std::int64_t next_id_ = 0;
};

}  // namespace

std::unique_ptr<RequestStream> GenerateLongBench(const LongBenchOptions& options) {
  if (options.max_prompt < Tokens(0)) {
    throw InputError({{}, "max_prompt", "is negative", "a number of tokens, or 0 for no cap", ""});
  }
  return std::make_unique<LongBenchStream>(options);
}

}  // namespace sparseserve::traces
