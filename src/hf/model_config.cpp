#include "hf/model_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <tuple>

#include "core/log.h"
#include "core/model_shape.h"
#include "hf/config_reader.h"
#include "hf/folder.h"
#include "hf/known_keys.h"
#include "hf/refusal.h"
#include "hf/rope_config.h"

namespace gsnake::hf {
namespace {

// GPT-2's, and the names that transformers takes for them as well.
constexpr std::array kAliases{std::pair{"n_positions", "max_position_embeddings"}, std::pair{"n_embd", "hidden_size"},
                              std::pair{"n_layer", "num_hidden_layers"}, std::pair{"n_head", "num_attention_heads"}};

// For a family that attends to all that came before, whose class in transformers would be confused by these.
void read_no_window(ConfigReader& reader) {
  if (const Json* window = reader.find("sliding_window"); window != nullptr && *window != false)
    reader.refuse_key("sliding_window", "this family has none");
  const Json* types = reader.find("layer_types");
  const bool all_full = types == nullptr || (types->is_array() && std::all_of(types->begin(), types->end(),
                                                                              [](const Json& each) { return each == "full_attention"; }));
  if (!all_full) reader.refuse_key("layer_types", "this family has full_attention only");
}

void read_dropout(ConfigReader& reader, ModelConfig& model) {
  // transformers drops at each of the three places with a probability of its own.
  constexpr double kDefault = 0.1;
  model.dropout = reader.probability("resid_pdrop", kDefault);
  for (const char* key : {"attn_pdrop", "embd_pdrop"}) {
    if (reader.probability(key, kDefault) != model.dropout)
      reader.refuse_key(key, "this build has one probability, and resid_pdrop has another value");
  }
}

void read_gpt2(ConfigReader& reader, ModelConfig& model) {
  model.vocab = reader.count("vocab_size");
  const auto count = [&](std::size_t i, std::optional<std::int64_t> absent = std::nullopt) {
    return reader.count(kAliases[i].first, kAliases[i].second, absent);
  };
  model.context = count(0, 1024);
  model.hidden = count(1);
  model.layers = count(2);
  model.heads = count(3);
  model.intermediate = reader.count("n_inner", 4 * model.hidden);
  model.norm_epsilon = reader.positive("layer_norm_epsilon", 1e-5);
  model.tie_embeddings = reader.boolean("tie_word_embeddings", true);
  const std::string activation = reader.text("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh")
    reader.refuse_key("activation_function", "this build has \"gelu_new\" only");
  read_dropout(reader, model);
  reader.require("scale_attn_weights", true);
  reader.require("scale_attn_by_inverse_layer_idx", false);
  reader.require("reorder_and_upcast_attn", false);
  reader.require("add_cross_attention", false);
  read_no_window(reader);
  for (const char* key : {"n_ctx", "n_special", "predict_special_tokens", "output_past", "summary_activation", "summary_first_dropout",
                          "summary_proj_to_labels", "summary_type", "summary_use_proj"})
    reader.ignore(key);
}

void write_gpt2(Json& json, const ModelConfig& model) {
  for (const auto& [name, alias] : kAliases) json.erase(alias);
  json.update({{"vocab_size", model.vocab},
               {"n_positions", model.context},
               {"n_embd", model.hidden},
               {"n_layer", model.layers},
               {"n_head", model.heads}});
  json["n_inner"] = model.intermediate == 0 || model.intermediate == 4 * model.hidden ? Json() : Json(model.intermediate);
  json.update(
      {{"layer_norm_epsilon", model.norm_epsilon}, {"activation_function", "gelu_new"}, {"tie_word_embeddings", model.tie_embeddings}});
  json.update({{"attn_pdrop", model.dropout}, {"embd_pdrop", model.dropout}, {"resid_pdrop", model.dropout}});
}

// Of Qwen: which layers attend to a window, all or none.
void read_layer_types(ConfigReader& reader, ModelConfig& model, std::int64_t window) {
  const Json* types = reader.find("layer_types");
  if (types == nullptr) return;
  if (!types->is_array() || types->size() != static_cast<std::size_t>(model.layers))
    return reader.refuse_key("layer_types", "must name one type for each layer");
  const auto all = [&](const char* type) {
    return std::all_of(types->begin(), types->end(), [&](const Json& each) { return each == type; });
  };
  if (all("full_attention")) {
    model.sliding_window = 0;
  } else if (!all("sliding_attention")) {
    reader.refuse_key("layer_types", "this build has the same attention, full or sliding, in all layers only");
  } else if (window == 0) {
    reader.refuse_key("layer_types", fmt::format("{} and {}: there is no window to slide", reader.named("use_sliding_window"),
                                                 reader.named("sliding_window")));
  } else {
    model.sliding_window = window;
  }
}

// What stands for an absent key in the family's class of transformers.
struct Defaults {
  std::int64_t kv_heads = 0;  // 0: as many as heads
  std::int64_t context = 0;
};

void read_decoder(ConfigReader& reader, ModelConfig& model, Defaults absent) {
  model.vocab = reader.count("vocab_size");
  model.context = reader.count("max_position_embeddings", absent.context);
  model.hidden = reader.count("hidden_size");
  model.layers = reader.count("num_hidden_layers");
  model.heads = reader.count("num_attention_heads");
  const bool as_heads = reader.has("num_key_value_heads") || absent.kv_heads == 0;  // null means that
  model.kv_heads = reader.count("num_key_value_heads", as_heads ? model.heads : absent.kv_heads);
  model.intermediate = reader.count("intermediate_size");
  model.norm_epsilon = reader.positive("rms_norm_eps", 1e-6);
  model.tie_embeddings = reader.boolean("tie_word_embeddings", false);
  read_rope(reader, model);
  const std::string activation = reader.text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") reader.refuse_key("hidden_act", "this build has \"silu\" only");
  reader.require("attention_dropout", 0.0);
}

void read_head_dim(ConfigReader& reader, ModelConfig& model, std::int64_t absent) {
  const std::int64_t head_dim = reader.count("head_dim", absent);
  model.head_dim = head_dim == 0 && model.hidden % model.heads == 0 ? model.hidden / model.heads : head_dim;
}

void read_llama(ConfigReader& reader, ModelConfig& model) {
  read_decoder(reader, model, {0, 2048});
  read_head_dim(reader, model, 0);
  reader.require("attention_bias", false);
  reader.require("mlp_bias", false);
  reader.ignore("pretraining_tp");  // another order of the same sums
  read_no_window(reader);
}

void read_mistral(ConfigReader& reader, ModelConfig& model) {
  read_decoder(reader, model, {8, 131072});
  read_head_dim(reader, model, 0);
  constexpr std::int64_t kDefaultWindow = 4096;  // for an absent key; null means none
  const bool absent = !reader.has("sliding_window");
  model.sliding_window = reader.count("sliding_window", absent ? kDefaultWindow : 0);
  // transformers goes by sliding_window alone.
  const Json* types = reader.find("layer_types");
  const char* type = model.sliding_window > 0 ? "sliding_attention" : "full_attention";
  const bool agrees =
      types == nullptr || (types->is_array() && std::all_of(types->begin(), types->end(), [&](const Json& each) { return each == type; }));
  if (!agrees)
    reader.refuse_key("layer_types", fmt::format("{} means {} in all layers; leave one of them", reader.named("sliding_window"), type));
}

void read_qwen_window(ConfigReader& reader, ModelConfig& model) {
  constexpr std::int64_t kDefaultWindow = 4096;
  constexpr std::int64_t kDefaultFullLayers = 28;
  const bool slides = reader.boolean("use_sliding_window", false);
  const std::int64_t window = slides ? reader.count("sliding_window", reader.has("sliding_window") ? 0 : kDefaultWindow) : 0;
  const Json* full = reader.find("max_window_layers");
  reader.ignore("sliding_window");
  reader.require("use_mrope", false);
  if (slides && reader.find("layer_types") == nullptr) {
    if (reader.has("max_window_layers") && (full == nullptr || !full->is_number_integer()))
      return reader.refuse_key("max_window_layers", "must be an integer");
    const std::int64_t full_layers = full != nullptr ? full->get<std::int64_t>() : kDefaultFullLayers;
    if (window > 0 && full_layers > 0 && full_layers < model.layers)
      reader.refuse_key("max_window_layers", "this build has the same attention in all layers only");
    model.sliding_window = full_layers <= 0 ? window : 0;
  }
  read_layer_types(reader, model, window);
}

constexpr Defaults kQwen{32, 32768};

void read_qwen2(ConfigReader& reader, ModelConfig& model) {
  read_decoder(reader, model, kQwen);
  read_head_dim(reader, model, 0);
  model.qkv_bias = true;
  read_qwen_window(reader, model);
}

void read_qwen3(ConfigReader& reader, ModelConfig& model) {
  constexpr std::int64_t kDefaultHeadDim = 128;
  read_decoder(reader, model, kQwen);
  reader.require("attention_bias", false);
  read_head_dim(reader, model, kDefaultHeadDim);
  model.qk_norm = true;
  read_qwen_window(reader, model);
}

void write_decoder(Json& json, const ModelConfig& given) {
  const ModelConfig model = core::spelt_out(given);
  json.update({{"vocab_size", model.vocab},
               {"max_position_embeddings", model.context},
               {"hidden_size", model.hidden},
               {"num_hidden_layers", model.layers}});
  json.update({{"num_attention_heads", model.heads}, {"num_key_value_heads", model.kv_heads}});
  json["head_dim"] = model.head_dim;
  json.update({{"intermediate_size", model.intermediate}, {"rms_norm_eps", model.norm_epsilon}, {"hidden_act", "silu"}});
  json["tie_word_embeddings"] = model.tie_embeddings;
  json["attention_dropout"] = 0.0;
  write_rope(json, model);
}

void write_llama(Json& json, const ModelConfig& model) {
  write_decoder(json, model);
  json.update({{"attention_bias", false}, {"mlp_bias", false}});
}

void write_mistral(Json& json, const ModelConfig& model) {
  write_decoder(json, model);
  json.erase("layer_types");
  json["sliding_window"] = model.sliding_window == 0 ? Json() : Json(model.sliding_window);
}

void write_qwen(Json& json, const ModelConfig& model) {
  write_decoder(json, model);
  json.erase("layer_types");
  json["use_sliding_window"] = model.sliding_window != 0;
  json["sliding_window"] = model.sliding_window == 0 ? Json() : Json(model.sliding_window);
  json["max_window_layers"] = model.sliding_window == 0 ? model.layers : 0;
}

struct Family {
  ModelFamily family;  // its word is model_type
  const char* architecture;
  const char* base;  // saved without its head
  void (*read)(ConfigReader&, ModelConfig&);
  void (*write)(Json&, const ModelConfig&);
};

constexpr std::array kFamilies{
    Family{ModelFamily::gpt2, "GPT2LMHeadModel", "GPT2Model", read_gpt2, write_gpt2},
    Family{ModelFamily::llama, "LlamaForCausalLM", "LlamaModel", read_llama, write_llama},
    Family{ModelFamily::mistral, "MistralForCausalLM", "MistralModel", read_mistral, write_mistral},
    Family{ModelFamily::qwen2, "Qwen2ForCausalLM", "Qwen2Model", read_qwen2, write_qwen},
    Family{ModelFamily::qwen3, "Qwen3ForCausalLM", "Qwen3Model", read_qwen3, write_qwen},
};

// nullptr: it is none of ours, which is noted.
const Family* family_of(ConfigReader& reader) {
  const std::string type = reader.text("model_type");
  const auto* family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& each) { return type == word_of(each.family); });
  if (family == kFamilies.end()) {
    reader.refuse_key("model_type", "this build has " + listed_words<ModelFamily>());
    return nullptr;
  }
  const Json* architectures = reader.find("architectures");
  const bool fits = architectures == nullptr || *architectures == Json::array() || *architectures == Json::array({family->architecture}) ||
                    *architectures == Json::array({family->base});
  if (!fits) reader.refuse_key("architectures", fmt::format("this build has {} for {}", family->architecture, type));
  return family;
}

// Files may say anything.
void check_sizes(ConfigReader& reader, const ModelConfig& model) {
  using core::kMostLayers;
  using core::kMostWide;
  const bool is_gpt2 = model.family == ModelFamily::gpt2;
  const auto require = [&](std::int64_t value, std::int64_t most, const char* key) {
    if (value > most) reader.refuse_key(key, fmt::format("more than the {} that a model may have here", most));
  };
  require(model.layers, kMostLayers, is_gpt2 ? "n_layer" : "num_hidden_layers");
  require(model.hidden, kMostWide, is_gpt2 ? "n_embd" : "hidden_size");
  require(model.vocab, kMostWide, "vocab_size");
  require(model.heads, kMostWide, is_gpt2 ? "n_head" : "num_attention_heads");
  require(model.intermediate, 4 * kMostWide, is_gpt2 ? "n_inner" : "intermediate_size");
  if (is_gpt2) return;
  require(model.kv_heads, kMostWide, "num_key_value_heads");
  require(model.head_dim, kMostWide / model.heads, "head_dim");
}

// What a layer can't be built with, whoever wrote the file.
void check_heads(ConfigReader& reader, const ModelConfig& model) {
  const bool is_gpt2 = model.family == ModelFamily::gpt2;
  const char* heads = is_gpt2 ? "n_head" : "num_attention_heads";
  if (model.head_dim == 0 && model.hidden % model.heads != 0)
    reader.refuse_key(heads, fmt::format("must divide the hidden size {}", model.hidden));
  if (is_gpt2) return;
  if (model.heads % model.kv_heads != 0)
    reader.refuse_key("num_key_value_heads", fmt::format("must divide the {} attention heads", model.heads));
  if (model.head_dim % 2 != 0) reader.refuse_key("head_dim", fmt::format("a head's width must be even, it is {}", model.head_dim));
}

bool same_shape(const ModelConfig& a, const ModelConfig& b) {
  const auto key = [](const ModelConfig& m) {
    const RopeScaling& r = m.rope_scaling;
    return std::tuple(m.family, m.layers, m.hidden, m.heads, m.kv_heads, m.head_dim, m.intermediate, m.vocab, m.context, m.tie_embeddings,
                      m.norm_epsilon, m.rope_theta, r.type, r.factor, r.low_freq_factor, r.high_freq_factor, r.original_context,
                      m.sliding_window, m.dropout);
  };
  return key(a) == key(b);
}

}  // namespace

ParsedConfig parse_config(const std::string& path, std::string_view text) {
  const Json json = parse_object(path, text);
  ConfigFindings findings;
  const auto refuse_findings = [&] {
    if (!findings.refused.empty()) refuse(path, fmt::format("{}", fmt::join(findings.refused, "; ")));
  };
  ConfigReader reader(json, findings);
  const Family* family = family_of(reader);
  if (family == nullptr) refuse_findings();
  ParsedConfig parsed;
  parsed.model.family = family->family;
  read_common_keys(reader);
  family->read(reader, parsed.model);
  reader.finish();
  refuse_findings();
  check_sizes(reader, parsed.model);
  refuse_findings();
  check_heads(reader, parsed.model);
  refuse_findings();
  parsed.unread = std::move(findings.unread);
  return parsed;
}

ModelConfig parse_model_config(const std::string& path, std::string_view text) { return parse_config(path, text).model; }

ModelConfig read_model_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / kConfigName).string();
  if (!is_file(path)) explain_absence(folder, kConfigName);
  ModelConfig model = parse_model_config(path, read_text(path, kMostConfigBytes));
  model.from = folder;
  return model;
}

void tell_unread_keys(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / kConfigName).string();
  try {
    const ParsedConfig parsed = parse_config(path, read_text(path, kMostConfigBytes));
    if (parsed.unread.empty()) return;
    const auto* family =
        std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& each) { return each.family == parsed.model.family; });
    spdlog::warn("{}: passed over what transformers' {} does not read either: {}", path, family->architecture,
                 listed(parsed.unread, parsed.unread.size()));
  } catch (const Error&) {
    // Of a model that is none of the families here, whose config was made by hand.
  }
}

Json make_model_config(const ModelConfig& model, Dtype dtype, const Json& carried) {
  const auto* family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& each) { return model.family == each.family; });
  if (family == kFamilies.end())
    throw Error(ErrorKind::usage, fmt::format("model.family = \"{}\": it has no config.json", word_of(model.family)));
  Json json = carried.is_object() ? carried : Json{{"architectures", {family->architecture}}, {"model_type", word_of(family->family)}};
  const bool is_same = carried.is_object() && same_shape(parse_model_config(kConfigName, carried.dump()), model);
  if (!is_same) family->write(json, model);
  // The export has the head and no code of its own, whatever the import had.
  json["architectures"] = {family->architecture};
  json.erase("auto_map");
  if (!carried.is_object()) json.update({{"bos_token_id", nullptr}, {"eos_token_id", nullptr}});
  if (json.contains("dtype")) json["dtype"] = torch_name_of(dtype);
  if (json.contains("torch_dtype") || !json.contains("dtype")) json["torch_dtype"] = torch_name_of(dtype);
  return json;
}

}  // namespace gsnake::hf
