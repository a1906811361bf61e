#include "hf/model_config.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <tuple>

#include "hf/config_reader.h"
#include "hf/folder.h"
#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

constexpr std::uint64_t kMostConfigBytes = 1ULL << 20;

// Keys of every config that say nothing of what the model computes.
constexpr std::array kNeutral{"architectures",
                              "model_type",
                              "torch_dtype",
                              "dtype",
                              "transformers_version",
                              "use_cache",
                              "initializer_range",
                              "bos_token_id",
                              "eos_token_id",
                              "pad_token_id",
                              "sep_token_id",
                              "decoder_start_token_id",
                              "gradient_checkpointing",
                              "return_dict",
                              "output_attentions",
                              "output_hidden_states",
                              "task_specific_params",
                              "id2label",
                              "label2id",
                              "problem_type",
                              "chunk_size_feed_forward",
                              "name_or_path",
                              "unsloth_version",
                              "unsloth_fixed"};

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
  model.context = reader.count("n_positions", 1024);
  model.hidden = reader.count("n_embd");
  model.layers = reader.count("n_layer");
  model.heads = reader.count("n_head");
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
  for (const char* key :
       {"n_ctx", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"})
    reader.ignore(key);
}

void write_gpt2(Json& json, const ModelConfig& model) {
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

void read_scaling(ConfigReader reader, RopeScaling& scaling) {
  const std::string type = reader.text("rope_type", reader.text("type", "default"));
  reader.ignore("rope_theta");
  reader.require("partial_rotary_factor", 1.0);
  if (const auto known = choice_of<RopeScalingType>(type); known && *known != RopeScalingType::none) {
    scaling.type = *known;
    scaling.factor = reader.positive("factor");
    if (scaling.factor < 1.0) reader.refuse_key("factor", "must be a number >= 1");
  } else if (type != "default") {
    reader.refuse_key(reader.find("rope_type") != nullptr ? "rope_type" : "type",
                      "this build has \"default\", \"linear\" and \"llama3\" only");
  }
  if (scaling.type == RopeScalingType::llama3) {
    scaling.low_freq_factor = reader.positive("low_freq_factor");
    scaling.high_freq_factor = reader.positive("high_freq_factor");
    if (scaling.low_freq_factor >= scaling.high_freq_factor) reader.refuse_key("low_freq_factor", "must be below high_freq_factor");
    scaling.original_context = reader.count("original_max_position_embeddings");
  } else {
    reader.ignore("original_max_position_embeddings");
  }
  reader.finish();
}

// transformers 4 writes rope_theta and rope_scaling, 5 both in rope_parameters.
void read_rope(ConfigReader& reader, ModelConfig& model) {
  constexpr double kDefaultTheta = 10000.0;
  model.rope_theta = reader.positive("rope_theta", kDefaultTheta);
  reader.require("partial_rotary_factor", 1.0);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = reader.find(key);
    if (rope == nullptr) continue;
    if (!rope->is_object()) reader.refuse_key(key, "must be an object");
    model.rope_scaling = {};
    read_scaling({reader.path(), *rope, std::string(key) + "."}, model.rope_scaling);
    model.rope_theta = ConfigReader(reader.path(), *rope, std::string(key) + ".").positive("rope_theta", model.rope_theta);
  }
}

// Which layers attend to a window: all, or none.
void read_layer_types(ConfigReader& reader, ModelConfig& model, std::int64_t window) {
  const Json* types = reader.find("layer_types");
  if (types == nullptr) return;
  if (!types->is_array() || types->size() != static_cast<std::size_t>(model.layers))
    reader.refuse_key("layer_types", "must name one type for each layer");
  const auto all = [&](const char* type) {
    return std::all_of(types->begin(), types->end(), [&](const Json& each) { return each == type; });
  };
  if (all("full_attention")) {
    model.sliding_window = 0;
  } else if (all("sliding_attention") && window > 0) {
    model.sliding_window = window;
  } else {
    reader.refuse_key("layer_types", "this build has the same attention, full or sliding, in all layers only");
  }
}

void read_decoder(ConfigReader& reader, ModelConfig& model) {
  model.vocab = reader.count("vocab_size");
  model.context = reader.count("max_position_embeddings");
  model.hidden = reader.count("hidden_size");
  model.layers = reader.count("num_hidden_layers");
  model.heads = reader.count("num_attention_heads");
  model.kv_heads = reader.count("num_key_value_heads", model.heads);
  model.intermediate = reader.count("intermediate_size");
  model.norm_epsilon = reader.positive("rms_norm_eps", 1e-6);
  model.tie_embeddings = reader.boolean("tie_word_embeddings", false);
  read_rope(reader, model);
  reader.require("hidden_act", "silu");
  reader.require("attention_bias", false);
  reader.require("mlp_bias", false);
  reader.require("attention_dropout", 0.0);
  reader.ignore("pretraining_tp");  // another order of the same sums
}

void read_head_dim(ConfigReader& reader, ModelConfig& model, std::int64_t absent) {
  const std::int64_t head_dim = reader.count("head_dim", absent);
  model.head_dim = head_dim == 0 && model.hidden % model.heads == 0 ? model.hidden / model.heads : head_dim;
}

void read_llama(ConfigReader& reader, ModelConfig& model) {
  read_decoder(reader, model);
  read_head_dim(reader, model, 0);
}

void read_mistral(ConfigReader& reader, ModelConfig& model) {
  read_decoder(reader, model);
  read_head_dim(reader, model, 0);
  constexpr std::int64_t kDefaultWindow = 4096;  // for an absent key; null means none
  const bool absent = !reader.has("sliding_window");
  const std::int64_t window = reader.count("sliding_window", absent ? kDefaultWindow : 0);
  model.sliding_window = window;
  read_layer_types(reader, model, window);
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
    const std::int64_t full_layers = full != nullptr && full->is_number_integer() ? full->get<std::int64_t>() : kDefaultFullLayers;
    if (full_layers > 0 && full_layers < model.layers)
      reader.refuse_key("max_window_layers", "this build has the same attention in all layers only");
    model.sliding_window = full_layers <= 0 ? window : 0;
  }
  read_layer_types(reader, model, window);
}

void read_qwen2(ConfigReader& reader, ModelConfig& model) {
  read_decoder(reader, model);
  read_head_dim(reader, model, 0);
  model.qkv_bias = true;
  read_qwen_window(reader, model);
}

void read_qwen3(ConfigReader& reader, ModelConfig& model) {
  constexpr std::int64_t kDefaultHeadDim = 128;
  read_decoder(reader, model);
  read_head_dim(reader, model, kDefaultHeadDim);
  model.qk_norm = true;
  read_qwen_window(reader, model);
}

Json scaling_json(const RopeScaling& scaling) {
  if (scaling.type == RopeScalingType::none) return {};
  Json json = {{"rope_type", word_of(scaling.type)}, {"factor", scaling.factor}};
  if (scaling.type == RopeScalingType::llama3) {
    json["low_freq_factor"] = scaling.low_freq_factor;
    json["high_freq_factor"] = scaling.high_freq_factor;
    json["original_max_position_embeddings"] = scaling.original_context;
  }
  return json;
}

// As the units' own default.
std::int64_t decoder_intermediate(const ModelConfig& model) {
  return model.intermediate != 0 ? model.intermediate : (8 * model.hidden / 3 + 63) / 64 * 64;
}

void write_decoder(Json& json, const ModelConfig& model) {
  json.update({{"vocab_size", model.vocab},
               {"max_position_embeddings", model.context},
               {"hidden_size", model.hidden},
               {"num_hidden_layers", model.layers}});
  json.update({{"num_attention_heads", model.heads}, {"num_key_value_heads", model.kv_heads == 0 ? model.heads : model.kv_heads}});
  json["head_dim"] = model.head_dim == 0 ? model.hidden / model.heads : model.head_dim;
  json.update({{"intermediate_size", decoder_intermediate(model)}, {"rms_norm_eps", model.norm_epsilon}, {"hidden_act", "silu"}});
  json["tie_word_embeddings"] = model.tie_embeddings;
  json.erase("rope_parameters");
  json.update({{"rope_theta", model.rope_theta}, {"rope_scaling", scaling_json(model.rope_scaling)}, {"attention_dropout", 0.0}});
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
  void (*read)(ConfigReader&, ModelConfig&);
  void (*write)(Json&, const ModelConfig&);
};

constexpr std::array kFamilies{
    Family{ModelFamily::gpt2, "GPT2LMHeadModel", read_gpt2, write_gpt2},
    Family{ModelFamily::llama, "LlamaForCausalLM", read_llama, write_llama},
    Family{ModelFamily::mistral, "MistralForCausalLM", read_mistral, write_mistral},
    Family{ModelFamily::qwen2, "Qwen2ForCausalLM", read_qwen2, write_qwen},
    Family{ModelFamily::qwen3, "Qwen3ForCausalLM", read_qwen3, write_qwen},
};

const Family& family_of(ConfigReader& reader) {
  const std::string type = reader.text("model_type");
  const auto* family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& each) { return type == word_of(each.family); });
  if (family == kFamilies.end()) reader.refuse_key("model_type", "this build has " + listed_words<ModelFamily>());
  const Json* architectures = reader.find("architectures");
  if (architectures != nullptr && *architectures != Json::array({family->architecture})) {
    reader.refuse_key("architectures", fmt::format("this build has {} for {}", family->architecture, type));
  }
  return *family;
}

// Sides of matrices whose sizes overflow nothing, and a number of units that fits memory: files may say anything.
void check_sizes(const ConfigReader& reader, const ModelConfig& model) {
  constexpr std::int64_t kMostLayers = 1 << 16;
  constexpr std::int64_t kMostWide = 1 << 24;
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

ModelConfig parse_model_config(const std::string& path, std::string_view text) {
  const Json json = parse_object(path, text);
  ConfigReader reader(path, json);
  const Family& family = family_of(reader);
  ModelConfig model;
  model.family = family.family;
  for (const char* key : kNeutral) reader.ignore(key);
  family.read(reader, model);
  reader.finish();
  check_sizes(reader, model);
  check_heads(reader, model);
  return model;
}

ModelConfig read_model_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / kConfigName).string();
  if (!is_file(path)) explain_absence(folder, kConfigName);
  ModelConfig model = parse_model_config(path, read_text(path, kMostConfigBytes));
  model.from = folder;
  return model;
}

Json make_model_config(const ModelConfig& model, Dtype dtype, const Json& carried) {
  const auto* family = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& each) { return model.family == each.family; });
  if (family == kFamilies.end()) throw Error(ErrorKind::usage, fmt::format("model.family = \"{}\": it has no config.json", word_of(model.family)));
  Json json = carried.is_object() ? carried : Json{{"architectures", {family->architecture}}, {"model_type", word_of(family->family)}};
  const bool is_same = carried.is_object() && same_shape(parse_model_config(kConfigName, carried.dump()), model);
  if (!is_same) family->write(json, model);
  if (!carried.is_object()) json.update({{"bos_token_id", nullptr}, {"eos_token_id", nullptr}});
  if (json.contains("dtype")) json["dtype"] = torch_name_of(dtype);
  if (json.contains("torch_dtype") || !json.contains("dtype")) json["torch_dtype"] = torch_name_of(dtype);
  return json;
}

}  // namespace gsnake::hf
