#include <fmt/format.h>

#include <iostream>

#include "sim/cli/command.h"
#include "sim/config/experiment.h"
#include "sim/config/machine_loader.h"
#include "sim/config/model_loader.h"
#include "sim/config/name_resolver.h"
#include "sim/core/error.h"
#include "sim/serving/system.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

void PrintSizes(const llm::Architecture& m) {
  const llm::Weights w = llm::ComputeWeights(m);
  fmt::print("{}\n", m.name);
  fmt::print("  layers {}, hidden {}, query heads {}, KV heads {}, head dim {}, vocabulary {}\n",
             m.num_layers, m.hidden_size, m.num_q_heads, m.num_kv_heads, m.head_dim, m.vocab_size);
  fmt::print("  parameters           {:.3f} billion\n", w.parameters / 1e9);
  fmt::print("  weights              {} (embedding and head {}, attention {}, MLP {})\n",
             ToString(w.total), ToString(w.embedding), ToString(w.attention), ToString(w.mlp));
  fmt::print("  KV per token         {}\n", llm::ExplainKvBytes(m));
  fmt::print("  KV of 32k tokens     {}\n", ToString(llm::KvBytesPerToken(m) * 32768));
  if (m.indexer.top_k_tokens > 0) {
    fmt::print("  indexer keys         {} per token in HBM, top {} tokens selected per layer\n",
               ToString(llm::IndexerBytesPerTokenPerLayer(m) * m.num_layers),
               m.indexer.top_k_tokens);
  }
  double flops = llm::HeadFlopsPerToken(m).value();
  for (std::int64_t layer = 0; layer < m.num_layers; ++layer) {
    flops += (llm::ProjectionFlopsPerToken(m) + llm::OutputFlopsPerToken(m) +
              llm::MlpFlopsPerToken(m, layer))
                 .value();
  }
  fmt::print(
      "  linear work          {:.2f} GFLOP per token (attention over the context not included)\n",
      flops / 1e9);
  fmt::print("  source               {}\n", m.source);
}

void PrintCapacity(const serving::SystemConfig& config, const serving::HbmBudget& budget) {
  const scheduler::KvGeometry geometry = serving::ComputeGeometry(config);
  const std::int64_t block = geometry.block_row_bytes().value();
  const Bytes dram = serving::DramForKv(config);
  fmt::print("\non {}, tensor parallel {} (per GPU, engine defaults)\n", config.machine.name,
             config.tensor_parallel);
  fmt::print("  {}\n", budget.Explain());
  fmt::print("  KV in HBM            {} tokens, all layers and heads\n",
             budget.kv.value() / block * geometry.block_tokens.value());
  fmt::print("  KV in host DRAM      {} tokens ({})\n",
             dram.value() / block * geometry.block_tokens.value(), ToString(dram));
  fmt::print("  unit of transfer     {} ({} tokens of one KV head of one layer)\n",
             ToString(geometry.unit_bytes), geometry.block_tokens.value());
}

}  // namespace

int Model(const Arguments& arguments) {
  po::options_description options = CommonOptions();
  options.add_options()(
      "machine", Text("NAME"),
      "also say what fits this machine: a name in models/hardware/configs, or a path")(
      "tensor-parallel", Text("N", "1"), "GPUs that share the model");
  po::options_description hidden;
  hidden.add_options()("action", Text(""))("model", Text(""));
  po::options_description all;
  all.add(options).add(hidden);
  const po::variables_map values = Parse(arguments, all, {"action", "model"}, "model");
  if (values.count("help") != 0) {
    std::cout
        << "usage: sparseserve model info MODEL [options]\n\n"
           "MODEL is a name in models/llm/configs, a Hugging Face config.json, or a YAML file.\n\n"
        << options
        << "\nexamples\n"
           "  sparseserve model info lwm-7b --machine a100-40g-pcie4\n"
           "  sparseserve model info ~/models/my-model/config.json\n";
    return kDone;
  }
  const std::string name = values["model"].as<std::string>();
  if (values["action"].as<std::string>() != "info" || name.empty()) {
    throw InputError({.where = {},
                      .key = "model",
                      .what = "no 'info MODEL' is given",
                      .expected = "sparseserve model info MODEL",
                      .hint = "see 'sparseserve model --help'"});
  }
  const std::string root = FindDataRoot(values["data"].as<std::string>());
  serving::SystemConfig config;
  config.model =
      config::LoadModel(config::ResolveName(config::Catalogue::kModel, name, root, {}, "MODEL"));
  config.tensor_parallel =
      ParseInteger(values["tensor-parallel"].as<std::string>(), "tensor-parallel", 1, 64);
  const std::string machine = values["machine"].as<std::string>();
  if (machine.empty()) {
    PrintSizes(config.model);
    return kDone;
  }
  config.machine = config::LoadMachine(
      config::ResolveName(config::Catalogue::kMachine, machine, root, {}, "--machine"));
  const std::string misfit =
      config::ExplainMisfit(config.model, config.machine, config.tensor_parallel);
  if (!misfit.empty()) throw InputError({{}, "--tensor-parallel", misfit, "", ""});
  const serving::HbmBudget budget = serving::ComputeHbmBudget(config);
  PrintSizes(config.model);
  PrintCapacity(config, budget);
  return kDone;
}

}  // namespace sparseserve::cli
