// Hugging Face's config.json as llm::Architecture. The keys are those of the transformers library.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <vector>

#include "sim/config/model_loader.h"

namespace sparseserve::config {
namespace {

using Json = nlohmann::json;

// Models of the transformers library whose MLP has two matrices; the rest is taken for gated.
constexpr std::array kUngatedModels = {"gpt_neox", "phi",      "starcoder2",  "nemotron",
                                       "opt",      "falcon",   "gpt_bigcode", "gpt2",
                                       "mpt",      "persimmon"};
// Models with biases on q, k and v that their configuration does not mention.
constexpr std::array kBiasedModels = {"qwen2", "qwen2_moe"};

template <typename Table>
bool Contains(const Table& table, const std::string& word) {
  return std::find(table.begin(), table.end(), word) != table.end();
}

// A config.json with its text, which gives the lines for messages. The library keeps no positions:
// a key's line is that of its first mention after the opening of the section it is read from.
class HfReader {
 public:
  explicit HfReader(std::string path) : path_(std::move(path)) {
    std::ifstream file(path_, std::ios::binary);
    std::ostringstream content;
    if (file && std::filesystem::is_regular_file(path_)) content << file.rdbuf();
    text_ = content.str();
    if (text_.empty()) Fail("", "cannot be read, or is empty", "a Hugging Face config.json");
    Parse();
    // Models with several modalities keep the language model in a section of its own.
    for (const char* section : {"text_config", "llm_config", "language_config"}) {
      if (!json_.contains(section) || !json_[section].is_object()) continue;
      section_begin_ = text_.find('"' + std::string(section) + '"');
      const Json inner = json_[section];
      json_ = inner;
      break;
    }
  }

  bool Has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  // The first of `keys` that is there; otherwise the fallback, or a problem if there is none.
  std::int64_t Count(const std::vector<const char*>& keys, std::int64_t fallback = -1,
                     std::int64_t min = 1) const {
    for (const char* key : keys) {
      if (!Has(key)) continue;
      const Json& value = json_[key];
      if (!value.is_number_integer() || value.get<std::int64_t>() < min ||
          value.get<std::int64_t>() > (std::int64_t{1} << 40)) {
        Fail(key, value.dump(), fmt::format("an integer between {} and 2^40", min));
      }
      return value.get<std::int64_t>();
    }
    if (fallback < 0) Fail(keys.front(), "missing key", "an integer");
    return fallback;
  }

  bool Flag(const char* key, bool fallback) const {
    if (!Has(key)) return fallback;
    if (!json_[key].is_boolean()) Fail(key, json_[key].dump(), "true or false");
    return json_[key].get<bool>();
  }

  std::string Word(const char* key, const std::string& fallback) const {
    if (!Has(key)) return fallback;
    if (!json_[key].is_string()) Fail(key, json_[key].dump(), "a string");
    return json_[key].get<std::string>();
  }

  const Json& json() const { return json_; }

  [[noreturn]] void Fail(const std::string& key, std::string what, std::string expected) const {
    throw InputError({{path_, LineOf(key), 0}, key, std::move(what), std::move(expected), ""});
  }

 private:
  void Parse() {
    std::vector<std::set<std::string>> seen;
    const auto reject_repeated = [&](int depth, Json::parse_event_t event, Json& parsed) {
      const auto level = static_cast<std::size_t>(depth);
      if (depth > static_cast<int>(kMaxYamlDepth)) Fail("", "nested too deeply", "");
      if (event == Json::parse_event_t::object_start) {
        seen.resize(std::max(seen.size(), level + 2));
        seen[level + 1].clear();
      }
      if (event == Json::parse_event_t::key &&
          !seen[level].insert(parsed.get<std::string>()).second) {
        Fail(parsed.get<std::string>(), "repeated key", "");
      }
      return true;
    };
    try {
      json_ = Json::parse(text_, reject_repeated);
    } catch (const Json::parse_error& error) {
      const auto end =
          text_.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, text_.size()));
      const auto line = static_cast<int>(std::count(text_.begin(), end, '\n')) + 1;
      throw InputError({{path_, line, 0}, "", "not JSON", "", error.what()});
    } catch (const Json::exception& error) {  // a number too large for a double
      throw InputError({{path_, 0, 0}, "", "not JSON", "", error.what()});
    }
    if (!json_.is_object()) Fail("", "not a JSON object", "a Hugging Face config.json");
  }

  int LineOf(const std::string& key) const {
    if (key.empty()) return 0;
    const std::size_t at = text_.find('"' + key + '"', section_begin_);
    if (at == std::string::npos) return 0;
    const auto end = text_.begin() + static_cast<std::ptrdiff_t>(at);
    return static_cast<int>(std::count(text_.begin(), end, '\n')) + 1;
  }

  std::string path_;
  std::string text_;
  std::size_t section_begin_ = 0;
  Json json_;
};

void RefuseWhatIsNotModelled(const HfReader& reader) {
  if (reader.Has("sliding_window") && reader.Flag("use_sliding_window", true) &&
      reader.Count({"sliding_window"}) < reader.Count({"max_position_embeddings"})) {
    reader.Fail("sliding_window", "sliding-window attention is not modelled",
                "null, or use_sliding_window: false");
  }
  if (reader.Has("layer_types")) {
    for (const auto& type : reader.json()["layer_types"]) {
      if (type != "full_attention") {
        reader.Fail("layer_types", type.dump() + " is not modelled", "only \"full_attention\"");
      }
    }
  }
  for (const char* key : {"decoder_sparse_step", "moe_layer_freq"}) {
    if (reader.Count({key}, 1) != 1) {
      reader.Fail(key, "dense layers between MoE layers are not modelled", "1");
    }
  }
}

double BytesPerWeight(const HfReader& reader) {
  const std::string dtype = reader.Word("torch_dtype", reader.Word("dtype", "bfloat16"));
  double bytes = 0;
  if (dtype == "bfloat16" || dtype == "float16") bytes = 2;
  if (dtype == "float32") bytes = 4;
  if (dtype.starts_with("float8")) bytes = 1;
  if (bytes == 0) {
    reader.Fail(reader.Has("torch_dtype") ? "torch_dtype" : "dtype", "'" + dtype + "' is not known",
                "bfloat16, float16, float32 or float8_e4m3fn");
  }
  if (!reader.Has("quantization_config")) return bytes;
  const Json& quantization = reader.json()["quantization_config"];
  if (!quantization.is_object()) {
    reader.Fail("quantization_config", quantization.dump(), "an object");
  }
  const std::string method = quantization.value("quant_method", "");
  if (method == "fp8") return 1;
  const int bits = quantization.value("bits", 0);
  // Scales and zero points, about 3 % at groups of 128, are not counted.
  if ((method == "awq" || method == "gptq") && (bits == 4 || bits == 8)) return bits / 8.0;
  reader.Fail("quantization_config", "quant_method '" + method + "' is not known",
              "fp8, or awq or gptq with bits 4 or 8");
}

void ReadAttention(const HfReader& reader, llm::Architecture& m) {
  m.num_q_heads = reader.Count({"num_attention_heads"});
  m.num_kv_heads = reader.Count({"num_key_value_heads"}, m.num_q_heads);
  const std::string type = reader.Word("model_type", "");
  m.qkv_bias = reader.Flag("attention_bias", Contains(kBiasedModels, type));
  if (reader.Has("kv_lora_rank")) {
    m.attention = llm::AttentionKind::kMultiHeadLatent;
    m.latent.q_lora_rank = reader.Count({"q_lora_rank"}, 0);
    m.latent.kv_lora_rank = reader.Count({"kv_lora_rank"});
    m.latent.qk_rope_head_dim = reader.Count({"qk_rope_head_dim"});
    m.latent.qk_nope_head_dim = reader.Count({"qk_nope_head_dim"});
    m.latent.v_head_dim = reader.Count({"v_head_dim"});
    m.head_dim = m.latent.qk_nope_head_dim + m.latent.qk_rope_head_dim;
  } else {
    if (!reader.Has("head_dim") && m.hidden_size % m.num_q_heads != 0) {
      reader.Fail("num_attention_heads", "hidden_size is no multiple of it", "a head_dim");
    }
    m.head_dim = reader.Count({"head_dim"}, m.hidden_size / m.num_q_heads);
  }
  if (reader.Has("index_topk")) {
    m.indexer = {reader.Count({"index_topk"}), reader.Count({"index_n_heads"}),
                 reader.Count({"index_head_dim"})};
    // The released sparse kernels read the latent in the fp8 layout.
    m.bytes_per_kv_element = 1;
  }
}

void ReadMlp(const HfReader& reader, llm::Architecture& m) {
  m.gated_mlp = !Contains(kUngatedModels, reader.Word("model_type", ""));
  const std::vector<const char*> expert_keys = {"n_routed_experts", "num_local_experts",
                                                "num_experts"};
  m.moe.num_experts = reader.Count(expert_keys, 0, 0);
  m.intermediate_size = reader.Count(
      {"intermediate_size"}, m.moe.num_experts > 0 && reader.Has("moe_intermediate_size") ? 0 : -1);
  if (m.moe.num_experts == 0) return;
  m.moe.experts_per_token = reader.Count({"num_experts_per_tok"});
  m.moe.num_shared_experts = reader.Count({"n_shared_experts"}, 0, 0);
  m.moe.expert_intermediate_size = reader.Count({"moe_intermediate_size"}, m.intermediate_size);
  m.moe.num_dense_layers = reader.Count({"first_k_dense_replace"}, 0, 0);
}

}  // namespace

llm::Architecture LoadHuggingFaceConfig(const std::string& path) {
  const HfReader reader(path);
  llm::Architecture m;
  m.name = std::filesystem::path(path).stem().string();
  m.source = path;
  try {
    RefuseWhatIsNotModelled(reader);
    m.num_layers = reader.Count({"num_hidden_layers"});
    m.hidden_size = reader.Count({"hidden_size"});
    m.vocab_size = reader.Count({"vocab_size"});
    m.max_context_tokens = reader.Count({"max_position_embeddings"});
    m.tied_embeddings = reader.Flag("tie_word_embeddings", false);
    m.bytes_per_weight = BytesPerWeight(reader);
    ReadAttention(reader, m);
    ReadMlp(reader, m);
  } catch (const Json::exception& error) {
    reader.Fail("", std::string("a value of the wrong type: ") + error.what(), "");
  }
  return m;
}

}  // namespace sparseserve::config
