// The models are written out here a second time, by hand, so that the formulas are tested without
// the loader; tests/sim/config/model_loader_test.cc holds the files to the same published counts.
#include "models/llm/architecture.h"

#include <gtest/gtest.h>

namespace sparseserve::llm {
namespace {

Architecture Llama2Shape() {
  Architecture m;
  m.num_layers = 32;
  m.hidden_size = 4096;
  m.num_q_heads = m.num_kv_heads = 32;
  m.head_dim = 128;
  m.intermediate_size = 11008;
  m.vocab_size = 32000;
  return m;
}

Architecture Llama3Shape() {
  Architecture m = Llama2Shape();
  m.num_kv_heads = 8;
  m.intermediate_size = 14336;
  m.vocab_size = 128256;
  return m;
}

Architecture DeepSeekShape() {
  Architecture m;
  m.num_layers = 61;
  m.hidden_size = 7168;
  m.num_q_heads = m.num_kv_heads = 128;
  m.head_dim = 192;
  m.intermediate_size = 18432;
  m.vocab_size = 129280;
  m.bytes_per_weight = m.bytes_per_kv_element = 1;
  m.attention = AttentionKind::kMultiHeadLatent;
  m.latent = {1536, 512, 64, 128, 128};
  m.moe = {256, 8, 1, 2048, 3};
  m.indexer = {2048, 64, 128};
  return m;
}

// All GEMM work of one token.
double LinearFlops(const Architecture& m) {
  double flops = HeadFlopsPerToken(m).value();
  for (std::int64_t layer = 0; layer < m.num_layers; ++layer) {
    flops += (ProjectionFlopsPerToken(m) + OutputFlopsPerToken(m)).value();
    flops += MlpFlopsPerToken(m, layer).value();
  }
  return flops;
}

TEST(ArchitectureTest, ParameterCountOfLlama2IsExact) {
  // 6,738,415,616: the parameter count of meta-llama/Llama-2-7b-hf (safetensors header).
  EXPECT_EQ(ComputeWeights(Llama2Shape()).parameters, 6'738'415'616.0);
}

TEST(ArchitectureTest, ParameterCountOfLlama3IsExact) {
  // 8,030,261,248: meta-llama/Meta-Llama-3-8B (safetensors header).
  EXPECT_EQ(ComputeWeights(Llama3Shape()).parameters, 8'030'261'248.0);
}

TEST(ArchitectureTest, DeepSeekHas671BillionParametersOf37Active) {
  Architecture v3 = DeepSeekShape();
  v3.indexer = {};
  const Weights weights = ComputeWeights(v3);
  EXPECT_NEAR(weights.parameters, 671e9, 671e9 * 0.002);      // arXiv 2412.19437, section 1
  EXPECT_NEAR(weights.active_parameters, 37e9, 37e9 * 0.02);  // idem, 37B activated
  // The indexer adds q_lora x heads x dim + hidden x (dim + heads) in each of 61 layers.
  const double indexer = 61.0 * (1536 * 64 * 128 + 7168 * (128 + 64));
  EXPECT_EQ(ComputeWeights(DeepSeekShape()).parameters, weights.parameters + indexer);
}

TEST(ArchitectureTest, WeightBytesAreParametersTimesWidth) {
  const Weights llama = ComputeWeights(Llama3Shape());
  EXPECT_EQ(static_cast<double>(llama.total.value()), 2 * llama.parameters);
  EXPECT_EQ(llama.total, llama.embedding + llama.attention + llama.mlp);
  const Weights deepseek = ComputeWeights(DeepSeekShape());
  // fp8 layers, 16-bit embedding and head.
  EXPECT_EQ(static_cast<double>(deepseek.total.value()),
            deepseek.parameters + static_cast<double>(deepseek.embedding.value()) / 2);
}

TEST(ArchitectureTest, TiedEmbeddingsAreCountedOnce) {
  Architecture tied = Llama3Shape();
  tied.tied_embeddings = true;
  EXPECT_EQ(ComputeWeights(Llama3Shape()).parameters - ComputeWeights(tied).parameters,
            128256.0 * 4096);
  EXPECT_EQ(HeadFlopsPerToken(tied), HeadFlopsPerToken(Llama3Shape()));
}

TEST(ArchitectureTest, BiasAndUngatedMlpChangeTheCountByTheirOwnSize) {
  const double plain = ComputeWeights(Llama3Shape()).parameters;
  Architecture biased = Llama3Shape();
  biased.qkv_bias = true;
  EXPECT_EQ(ComputeWeights(biased).parameters - plain, 32.0 * (32 + 2 * 8) * 128);
  Architecture ungated = Llama3Shape();
  ungated.gated_mlp = false;
  EXPECT_EQ(plain - ComputeWeights(ungated).parameters, 32.0 * 4096 * 14336);
}

TEST(ArchitectureTest, KvBytesFollowFromTheHeads) {
  EXPECT_EQ(KvBytesPerToken(Llama2Shape()), Bytes(524'288));
  EXPECT_EQ(KvBytesPerToken(Llama3Shape()), Bytes(131'072));
  EXPECT_EQ(KvUnitsPerLayer(Llama3Shape()), 8);
  // The block of 32 tokens that the software moves is 16 KiB for any model with d = 128.
  EXPECT_EQ(KvBytesPerTokenPerUnit(Llama3Shape()) * 32, Bytes(16'384));
}

TEST(ArchitectureTest, LatentKvIsOneUnitOf656BytesInFp8And1152In16Bits) {
  Architecture m = DeepSeekShape();
  EXPECT_EQ(KvUnitsPerLayer(m), 1);
  EXPECT_EQ(KvBytesPerTokenPerLayer(m), Bytes(656));
  EXPECT_EQ(IndexerBytesPerTokenPerLayer(m), Bytes(132));
  m.bytes_per_kv_element = 2;
  EXPECT_EQ(KvBytesPerTokenPerLayer(m), Bytes(1152));
  EXPECT_EQ(IndexerBytesPerTokenPerLayer(Llama3Shape()), Bytes(0));
}

TEST(ArchitectureTest, LinearWorkIsTwiceTheActiveParameters) {
  for (const Architecture& m : {Llama2Shape(), Llama3Shape(), DeepSeekShape()}) {
    const double active = ComputeWeights(m).active_parameters;
    EXPECT_NEAR(LinearFlops(m), 2 * active, 2 * active * 1e-3);  // the rest is norms
  }
}

TEST(ArchitectureTest, LinearWorkIsTwiceTheWeightsThatItReads) {
  const Architecture m = Llama2Shape();
  EXPECT_EQ(ProjectionFlopsPerToken(m).value(),
            static_cast<double>(ProjectionWeightBytes(m).value()));
  EXPECT_EQ(OutputFlopsPerToken(m).value(), static_cast<double>(OutputWeightBytes(m).value()));
  EXPECT_EQ(MlpFlopsPerToken(m, 0).value(),
            static_cast<double>(MlpWeightBytes(m, 0, Tokens(1)).value()));
  EXPECT_EQ(HeadFlopsPerToken(m).value(), static_cast<double>(HeadWeightBytes(m).value()));
}

TEST(ArchitectureTest, ExpertsReadGrowFromTheActiveOnesToAll) {
  const Architecture m = DeepSeekShape();
  const double expert = 3.0 * 7168 * 2048;
  const auto bytes = [&](std::int64_t tokens) {
    return static_cast<double>(MlpWeightBytes(m, 3, Tokens(tokens)).value());
  };
  const double fixed = 7168.0 * 256 + expert;  // router and the shared expert
  EXPECT_DOUBLE_EQ(bytes(0), fixed);
  EXPECT_DOUBLE_EQ(bytes(1), fixed + 8 * expert);
  // Two tokens: 16 picks less the expected 8 x 8 / 256 repetitions.
  EXPECT_DOUBLE_EQ(bytes(2), fixed + 15.75 * expert);
  EXPECT_DOUBLE_EQ(bytes(100'000), fixed + 256 * expert);
  // The first three layers are dense.
  EXPECT_EQ(MlpWeightBytes(m, 2, Tokens(1)), Bytes(std::int64_t{3} * 7168 * 18432));
}

TEST(ArchitectureTest, AttentionWorkPerQueryAndKey) {
  EXPECT_EQ(AttentionFlopsPerQueryKey(Llama3Shape()), Flops(4.0 * 32 * 128));
  EXPECT_EQ(PrefillAttentionFlopsPerQueryKey(Llama3Shape()), Flops(4.0 * 32 * 128));
  EXPECT_EQ(IndexerFlopsPerQueryKey(Llama3Shape()), Flops(0));
  const Architecture m = DeepSeekShape();
  EXPECT_EQ(AttentionFlopsPerQueryKey(m), Flops(2.0 * 128 * (576 + 512)));
  EXPECT_EQ(PrefillAttentionFlopsPerQueryKey(m), Flops(2.0 * 128 * (192 + 128)));
  EXPECT_EQ(IndexerFlopsPerQueryKey(m), Flops(2.0 * 64 * 128));
}

TEST(ArchitectureTest, TheEquationOfTheKvBytesIsPrinted) {
  EXPECT_EQ(ExplainKvBytes(Llama3Shape()),
            "2 (K, V) x 8 KV heads x 128 x 2 B x 32 layers = 131072 B (128 KiB) per token");
  Architecture m = DeepSeekShape();
  EXPECT_EQ(ExplainKvBytes(m),
            "(512 x 1 B + 4 scales x 4 B + 64 x 2 B) x 61 layers = 40016 B (39.1 KiB) per token");
  m.bytes_per_kv_element = 2;
  EXPECT_EQ(ExplainKvBytes(m),
            "(512 latent + 64 rope) x 2 B x 61 layers = 70272 B (68.6 KiB) per token");
}

}  // namespace
}  // namespace sparseserve::llm
