// The files that come with the software, and what their loaders refuse. Parameter counts are those
// that the model cards publish.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "models/hardware/topology.h"
#include "sim/config/machine_loader.h"
#include "sim/config/model_loader.h"
#include "sim/config/name_resolver.h"

namespace sparseserve::config {
namespace {

llm::Architecture Model(const std::string& name) {
  return LoadModel(ResolveName(Catalogue::kModel, name, "."));
}

hardware::Machine MachineNamed(const std::string& name) {
  return LoadMachine(ResolveName(Catalogue::kMachine, name, "."));
}

template <typename Action>
std::string WhatOf(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

// What LoadModel says of `text` in a file model.json or model.yaml, the path cut to its name.
std::string LoadText(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path) << text;
  std::string what = WhatOf([&] { LoadModel(path); });
  std::remove(path.c_str());
  for (std::size_t at; (at = what.find(testing::TempDir())) != std::string::npos;) {
    what.erase(at, testing::TempDir().size());
  }
  return what;
}

TEST(ModelLoaderTest, ShippedModelsHaveTheirPublishedParameterCounts) {
  for (const auto& [name, parameters] : {std::pair{"lwm-7b", 6.74e9},
                                         {"llama3-8b-262k", 8.03e9},
                                         {"llama-3.1-8b", 8.03e9},
                                         {"llama-3.1-70b", 70.6e9},
                                         {"qwen2.5-7b-1m", 7.62e9},
                                         {"deepseek-v3.2", 671e9},
                                         {"small-live", 15.99e6}}) {
    EXPECT_NEAR(llm::ComputeWeights(Model(name)).parameters, parameters, parameters * 0.01) << name;
  }
  EXPECT_EQ(KnownNames(Catalogue::kModel, ".").size(), 7U) << "a model without a count here";
}

TEST(ModelLoaderTest, ShippedModelsHaveTheirKvBytes) {
  EXPECT_EQ(llm::KvBytesPerToken(Model("lwm-7b")), Bytes(524'288));
  EXPECT_EQ(llm::KvBytesPerToken(Model("llama3-8b-262k")), Bytes(131'072));
  EXPECT_EQ(llm::KvBytesPerToken(Model("qwen2.5-7b-1m")), Bytes(2 * 4 * 128 * 2 * 28));
  EXPECT_EQ(llm::KvBytesPerTokenPerLayer(Model("deepseek-v3.2")), Bytes(656));
}

TEST(ModelLoaderTest, QwenHasBiasesAndDeepSeekItsParts) {
  EXPECT_TRUE(Model("qwen2.5-7b-1m").qkv_bias);
  EXPECT_FALSE(Model("llama-3.1-8b").qkv_bias);
  const llm::Architecture m = Model("deepseek-v3.2");
  EXPECT_EQ(m.name, "deepseek-v3.2");
  EXPECT_EQ(m.attention, llm::AttentionKind::kMultiHeadLatent);
  EXPECT_EQ(m.latent.q_lora_rank, 1536);
  EXPECT_EQ(m.moe.num_experts, 256);
  EXPECT_EQ(m.moe.num_dense_layers, 3);
  EXPECT_EQ(m.indexer.top_k_tokens, 2048);
  EXPECT_EQ(m.bytes_per_weight, 1);
  EXPECT_EQ(m.bytes_per_embedding_weight, 2);
}

const std::string kBody =
    "\"num_hidden_layers\": 2,\n\"hidden_size\": 64,\n\"num_attention_heads\": 4,\n"
    "\"intermediate_size\": 128,\n\"vocab_size\": 100,\n\"max_position_embeddings\": 4096";

std::string WithKeys(const std::string& keys) {
  return LoadText("model.json", "{\n" + kBody + ",\n" + keys + "\n}\n");
}

TEST(ModelLoaderTest, HuggingFaceConfigsMayHoldAnythingElse) {
  EXPECT_EQ(WithKeys("\"rope_theta\": 1e6, \"whatever\": {\"a\": [1, null]}"), "accepted");
  EXPECT_EQ(WithKeys("\"sliding_window\": null, \"layer_types\": [\"full_attention\"]"),
            "accepted");
  EXPECT_EQ(WithKeys("\"sliding_window\": 128, \"use_sliding_window\": false"), "accepted");
  EXPECT_EQ(
      LoadText("model.json",
               "{\"vision_config\": {\"hidden_size\": 1},\n\"text_config\": {\n" + kBody + "}}"),
      "accepted");
}

TEST(ModelLoaderTest, WhatIsWrongInAConfigIsNamedWithItsLine) {
  EXPECT_EQ(LoadText("model.json", "{\"hidden_size\": 64}"),
            "model.json: num_hidden_layers: missing key; expected an integer");
  EXPECT_EQ(WithKeys("\"num_key_value_heads\": \"4\""),
            "model.json:8: num_key_value_heads: \"4\"; expected an integer between 1 and 2^40");
  EXPECT_EQ(WithKeys("\"num_key_value_heads\": 3"),
            "model.json: num_kv_heads: 3 KV heads; expected a divisor of the 4 query heads");
  EXPECT_EQ(WithKeys("\"head_dim\": 0"),
            "model.json:8: head_dim: 0; expected an integer between 1 and 2^40");
  EXPECT_EQ(WithKeys("\"vocab_size\": 5"), "model.json:6: vocab_size: repeated key");
  EXPECT_EQ(WithKeys("\"tie_word_embeddings\": 1"),
            "model.json:8: tie_word_embeddings: 1; expected true or false");
  EXPECT_EQ(
      WithKeys("\"torch_dtype\": \"int4\""),
      "model.json:8: torch_dtype: 'int4' is not known; expected bfloat16, float16, float32 or "
      "float8_e4m3fn");
  EXPECT_EQ(
      WithKeys("\"quantization_config\": {\"quant_method\": \"magic\"}"),
      "model.json:8: quantization_config: quant_method 'magic' is not known; expected fp8, or "
      "awq or gptq with bits 4 or 8");
  EXPECT_EQ(WithKeys("\"quantization_config\": 5"),
            "model.json:8: quantization_config: 5; expected an object");
  EXPECT_EQ(WithKeys("\"num_experts\": 4, \"num_experts_per_tok\": 8"),
            "model.json: experts_per_token: 8 active experts; expected at most the 4 experts");
}

TEST(ModelLoaderTest, WhatIsNotModelledIsRefused) {
  EXPECT_EQ(
      WithKeys("\"sliding_window\": 128"),
      "model.json:8: sliding_window: sliding-window attention is not modelled; expected null, "
      "or use_sliding_window: false");
  EXPECT_EQ(WithKeys("\"layer_types\": [\"full_attention\", \"linear_attention\"]"),
            "model.json:8: layer_types: \"linear_attention\" is not modelled; expected only "
            "\"full_attention\"");
  EXPECT_EQ(WithKeys("\"decoder_sparse_step\": 2"),
            "model.json:8: decoder_sparse_step: dense layers between MoE layers are not modelled; "
            "expected 1");
}

TEST(ModelLoaderTest, FilesThatAreNoConfigAreNamed) {
  EXPECT_EQ(WhatOf([] { LoadModel("no/such.json"); }),
            "no/such.json: cannot be read, or is empty; expected a Hugging Face config.json");
  EXPECT_EQ(LoadText("model.json", "[1]"),
            "model.json: not a JSON object; expected a Hugging Face config.json");
  EXPECT_TRUE(LoadText("model.json", "{\n\"a\": }\n").starts_with("model.json:2: not JSON; "));
  EXPECT_TRUE(LoadText("model.json", "{\"a\": 1e1072}\n").starts_with("model.json: not JSON; "));
}

TEST(ModelLoaderTest, OurOwnYamlGivesTheSameModel) {
  const std::string path = testing::TempDir() + "own.yaml";
  std::ofstream(path) << "name: own\nsource: test\nnum_layers: 32\nhidden_size: 4096\n"
                         "num_q_heads: 32\nnum_kv_heads: 8\nintermediate_size: 14336\n"
                         "vocab_size: 128256\nmax_context_tokens: 8192\n";
  const llm::Architecture own = LoadModel(path);
  EXPECT_EQ(llm::ComputeWeights(own).parameters,
            llm::ComputeWeights(Model("llama-3.1-8b")).parameters);
  EXPECT_EQ(llm::ExplainKvBytes(own), llm::ExplainKvBytes(Model("llama-3.1-8b")));
  std::ofstream(path) << "name: own\nsource: test\nnum_layers: 61\nhidden_size: 7168\n"
                         "num_q_heads: 128\nhead_dim: 192\nintermediate_size: 18432\n"
                         "vocab_size: 129280\nmax_context_tokens: 163840\nbytes_per_weight: 1\n"
                         "bytes_per_kv_element: 1\nlatent: {q_lora_rank: 1536, kv_lora_rank: 512, "
                         "qk_rope_head_dim: 64, qk_nope_head_dim: 128, v_head_dim: 128}\n"
                         "moe: {num_experts: 256, experts_per_token: 8, num_shared_experts: 1, "
                         "expert_intermediate_size: 2048, num_dense_layers: 3}\n"
                         "indexer: {top_k_tokens: 2048, num_heads: 64, head_dim: 128}\n";
  const llm::Weights weights = llm::ComputeWeights(LoadModel(path));
  EXPECT_EQ(weights.total, llm::ComputeWeights(Model("deepseek-v3.2")).total);
  std::remove(path.c_str());
  EXPECT_EQ(LoadText("model.yaml", "name: x\nlayers: 3\n").substr(0, 34),
            "model.yaml:2: layers: unknown key;");
}

TEST(MachineLoaderTest, ShippedMachinesLoadAndAreConsistent) {
  const std::vector<std::string> names = KnownNames(Catalogue::kMachine, ".");
  EXPECT_EQ(names.size(), 6U);
  for (const std::string& name : names) {
    const hardware::Machine machine = MachineNamed(name);
    EXPECT_EQ(machine.name, name);
    EXPECT_GE(machine.host.dram_capacity, machine.gpu.hbm_capacity) << name;
    const auto alone = hardware::ShareHostLinks(machine, 1, 1, hardware::Transfers::kLoads);
    EXPECT_EQ(alone.h2d, machine.link.h2d_bandwidth) << name << ": " << alone.bottleneck;
  }
}

TEST(MachineLoaderTest, TheTestbedHasTheFiguresOfThePaper) {
  const hardware::Machine m = MachineNamed("a100-40g-pcie4");
  EXPECT_EQ(m.num_gpus, 1);
  EXPECT_EQ(m.gpu.hbm_capacity, Bytes(std::int64_t{40} << 30));
  EXPECT_EQ(m.gpu.hbm_bandwidth, BytesPerSecond(1.555e12));
  EXPECT_EQ(m.gpu.bf16_flops, FlopsPerSecond(312e12));
  EXPECT_EQ(m.gpu.fp8_flops, FlopsPerSecond(0));
  EXPECT_EQ(m.link.h2d_bandwidth, BytesPerSecond(25e9));
  EXPECT_EQ(m.host.dram_capacity, Bytes(256'000'000'000));
}

TEST(MachineLoaderTest, ImpossibleFiguresAreRefused) {
  const std::string path = testing::TempDir() + "machine.yaml";
  std::ofstream(path) << "name: m\nsource: test\nnum_gpus: 3\n"
                         "gpu: {name: g, hbm: 1GB, hbm_bandwidth: 1TB/s, bf16_flops: 1TFLOP/s, "
                         "num_sms: 1}\n"
                         "link: {name: l, nominal_bandwidth: 10GB/s, h2d_bandwidth: 12GB/s, "
                         "d2h_bandwidth: 9GB/s}\n"
                         "host: {name: h, dram: 1GB, dram_bandwidth: 10GB/s, "
                         "dram_reached_bandwidth: 11GB/s, num_cores: 1, num_sockets: 2}\n";
  EXPECT_EQ(WhatOf([&] { LoadMachine(path); }),
            path +
                ":5: link.h2d_bandwidth: '12GB/s' is more than the link has; expected at most "
                "nominal_bandwidth, 10GB/s\n" +
                path +
                ":6: host.dram_reached_bandwidth: '11GB/s' is more than the peak; expected at "
                "most dram_bandwidth, 10GB/s\n" +
                path +
                ":3: num_gpus: the GPUs do not divide evenly over the sockets; expected a "
                "multiple of host.num_sockets");
  std::remove(path.c_str());
}

TEST(NameResolverTest, NamesAreFoundAndPathsAreRelativeToTheirFile) {
  EXPECT_EQ(ResolveName(Catalogue::kModel, "lwm-7b", "."), "./models/llm/configs/lwm-7b.json");
  EXPECT_EQ(ResolveName(Catalogue::kModel, "llama-3.1-8b", "."),
            "./models/llm/configs/llama-3.1-8b.json");
  EXPECT_EQ(ResolveName(Catalogue::kMachine, "gh200", "."), "./models/hardware/configs/gh200.yaml");
  EXPECT_EQ(ResolveName(Catalogue::kModel, "mine.json", ".", {"configs/a.yaml", 3, 0}),
            "configs/mine.json");
  EXPECT_EQ(ResolveName(Catalogue::kMachine, "../m.yaml", ".", {"configs/a.yaml", 3, 0}),
            "configs/../m.yaml");
  EXPECT_EQ(ResolveName(Catalogue::kModel, "/abs/m.json", ".", {"configs/a.yaml", 3, 0}),
            "/abs/m.json");
  EXPECT_EQ(ResolveName(Catalogue::kModel, "x/m.json", ".", {"--set model", 0, 0}), "x/m.json");
}

TEST(NameResolverTest, UnknownNamesListTheKnownOnes) {
  EXPECT_EQ(
      WhatOf([] {
        ResolveName(Catalogue::kMachine, "h100-smx", ".", {"a.yaml", 3, 0}, "hardware");
      }),
      "a.yaml:3: hardware: no machine is called 'h100-smx'; expected a100-40g-pcie4, a100-80g, "
      "cpu-2core, gh200, h100-sxm-pcie5 or h200-sxm, or a path; did you mean 'h200-sxm'?");
  EXPECT_EQ(WhatOf([] { ResolveName(Catalogue::kModel, "x", "/nowhere"); }),
            "no model is called 'x'; expected a path");
  EXPECT_EQ(WhatOf([] { ResolveName(Catalogue::kModel, "", "/nowhere"); }),
            "no model is called ''; expected a path");
}

}  // namespace
}  // namespace sparseserve::config
