// Keys of config.json that are there twice, that transformers does not read, or that change what it computes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"
#include "hf/logged.h"
#include "hf/model_config.h"
#include "hf/config_text.h"
#include "hf/temp_folder.h"

namespace gsnake::hf {
namespace {

using test::fixture;
using test::parse;
using test::refusal;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const Json kLlama3 = {{"rope_type", "llama3"},
                      {"factor", 8.0},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 16}};
const Json kLinear = {{"rope_type", "linear"}, {"factor", 4.0}};

// The family's config with these keys set; a family that rotates is in the older form, with nothing said of rope.
Json with(const std::string& family, const Json& changes) {
  Json json = fixture(family);
  json.erase("rope_parameters");
  json.update(changes);
  return json;
}

TEST(ConfigKeys, TwoNamesOfOneValueMayAgree) {
  const ModelConfig both = parse(with("llama", {{"rope_theta", 5e5},
                                                {"rope_scaling", {{"type", "linear"}, {"rope_type", "linear"}, {"factor", 4.0}}},
                                                {"rope_parameters", {{"rope_type", "linear"}, {"factor", 4}, {"rope_theta", 500000}}},
                                                {"torch_dtype", "float32"},
                                                {"dtype", "bfloat16"}}));
  EXPECT_EQ(both.rope_theta, 5e5);
  EXPECT_EQ(both.rope_scaling.factor, 4.0);
  EXPECT_EQ(parse(with("llama", {{"rope_scaling", Json::object()}, {"rope_parameters", kLinear}})).rope_scaling.factor, 4.0);
  EXPECT_EQ(parse(with("llama", {{"rope_scaling", nullptr}, {"rope_parameters", kLinear}})).rope_scaling.factor, 4.0);
  EXPECT_EQ(parse(with("gpt2", {{"hidden_size", 16}, {"num_attention_heads", 2}})).hidden, 16);
}

// Releases of transformers differ in which one they take.
TEST(ConfigKeys, TwoNamesOfOneValueThatDifferAreRefusedByBoth) {
  const auto both = [](const std::string& one, const std::string& other) { return AllOf(HasSubstr(one), HasSubstr(other)); };
  EXPECT_THAT(refusal(with("llama", {{"rope_theta", 5e5}, {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e4}}}})),
              both("rope_theta = 500000.0", "rope_parameters.rope_theta = 10000"));
  EXPECT_THAT(refusal(with("llama", {{"rope_scaling", kLinear}, {"rope_parameters", {{"rope_type", "default"}}}})),
              both("rope_scaling = ", "rope_parameters = "));
  EXPECT_THAT(refusal(with("llama", {{"rope_scaling", {{"rope_type", "default"}}}, {"rope_parameters", kLinear}})),
              both("rope_scaling = ", "rope_parameters = "));
  // The one that counts says nothing of theta: 10000, and not what the other says.
  EXPECT_THAT(refusal(with("llama", {{"rope_scaling", kLinear},
                                     {"rope_parameters", {{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 5e5}}}})),
              both("rope_scaling = ", "rope_parameters = "));
  EXPECT_THAT(refusal(with("llama", {{"rope_scaling", {{"type", "llama3"}, {"rope_type", "linear"}, {"factor", 2.0}}}})),
              both("rope_scaling.rope_type = \"linear\"", "rope_scaling.type = \"llama3\""));
  EXPECT_THAT(refusal(with("llama", {{"rope_scaling", kLlama3}, {"original_max_position_embeddings", 8}})),
              both("rope_scaling.original_max_position_embeddings = 16", "original_max_position_embeddings = 8"));
  EXPECT_THAT(refusal(with("gpt2", {{"hidden_size", 32}})), both("n_embd = 16", "hidden_size = 32"));
  EXPECT_THAT(refusal(with("gpt2", {{"max_position_embeddings", 64}})), both("n_positions = 32", "max_position_embeddings = 64"));
  EXPECT_THAT(refusal(with("mistral", {{"layer_types", {"full_attention", "full_attention"}}})),
              both("layer_types = ", "sliding_window = 5"));
  EXPECT_THAT(
      refusal(with("qwen2",
                   {{"use_sliding_window", false}, {"sliding_window", 8}, {"layer_types", {"sliding_attention", "sliding_attention"}}})),
      both("layer_types = ", "use_sliding_window = false"));
}

TEST(ConfigKeys, Gpt2GoesByTheNamesThatTransformersTakesToo) {
  Json json = fixture("gpt2");
  for (const auto& [name, alias] : {std::pair{"n_embd", "hidden_size"}, std::pair{"n_layer", "num_hidden_layers"},
                                    std::pair{"n_head", "num_attention_heads"}, std::pair{"n_positions", "max_position_embeddings"}}) {
    json[alias] = json[name];
    json.erase(name);
  }
  const ModelConfig model = parse(json);
  EXPECT_EQ(model.layers, 2);
  EXPECT_EQ(model.context, 32);
  EXPECT_EQ(model.intermediate, 64);
  // What is written has one name for each.
  ModelConfig other = model;
  other.dropout = 0.2;
  EXPECT_FALSE(make_model_config(other, Dtype::fp32, json).contains("hidden_size"));
}

TEST(ConfigKeys, WhatIsAbsentIsAsInTransformers) {
  const auto without = [](const std::string& family, const char* key) {
    Json json = with(family, {{"num_attention_heads", 32}, {"hidden_size", 64}, {"head_dim", 2}});
    json.erase(key);
    return parse(json);
  };
  EXPECT_EQ(without("llama", "num_key_value_heads").kv_heads, 32);
  EXPECT_EQ(without("mistral", "num_key_value_heads").kv_heads, 8);
  EXPECT_EQ(without("qwen2", "num_key_value_heads").kv_heads, 32);
  EXPECT_EQ(parse(with("mistral", {{"num_key_value_heads", nullptr}})).kv_heads, 2);
  EXPECT_EQ(without("llama", "max_position_embeddings").context, 2048);
  Json unsaid = kLlama3;
  unsaid.erase("original_max_position_embeddings");
  EXPECT_EQ(parse(with("llama", {{"rope_scaling", unsaid}})).rope_scaling.original_context, 32);
  EXPECT_EQ(parse(with("llama", {{"rope_scaling", unsaid}, {"original_max_position_embeddings", 16}})).rope_scaling.original_context, 16);
}

TEST(ConfigKeys, WhatTransformersDoesNotReadIsPassedOverAndNamedInOneLine) {
  const test::TempFolder folder;
  const Json json = with("llama", {{"is_llama_config", true},
                                   {"activation", "swiglu"},
                                   {"auto_map", {{"AutoModel", "x.M"}}},
                                   {"note", ""},
                                   {"list", Json::array()},
                                   {"tokenizer_class", "LlamaTokenizer"},
                                   {"temperature", 0.6},
                                   {"do_sample", true},
                                   {"pruned_heads", Json::object()},
                                   {"max_length", 20},
                                   {"prefix", "a"},
                                   {"unk_token_id", 0},
                                   {"off", false},
                                   {"_private", 7}});
  test::write_file(folder / "config.json", json.dump());
  EXPECT_THAT(parse_config("config.json", json.dump()).unread, ElementsAre("is_llama_config", "activation", "auto_map", "note", "list"));
  const test::Logged log;
  tell_unread_keys(folder.path());
  EXPECT_EQ(
      log.text(),
      folder / "config.json" +
          ": passed over what transformers' LlamaForCausalLM does not read either: is_llama_config, activation, auto_map, note, list\n");
}

TEST(ConfigKeys, WhatIsSaidInFullIsPassedOverInSilence) {
  const test::TempFolder folder;
  test::write_file(folder / "config.json", fixture("llama").dump());
  const test::Logged log;
  tell_unread_keys(folder.path());
  EXPECT_EQ(log.text(), "");
}

TEST(ConfigKeys, WhatChangesTheMathsIsRefusedAllOfItAtOnce) {
  const std::string message = refusal(with("llama", {{"hidden_act", "gelu"},
                                                     {"attention_bias", true},
                                                     {"is_causal", false},
                                                     {"hidden_size", -1},
                                                     {"rope_scaling", {{"type", "yarn"}, {"factor", 2.0}, {"beta_fast", 32}}},
                                                     {"quantization_config", {{"quant_method", "gptq"}}}}));
  for (const char* part : {"hidden_act = \"gelu\"", "attention_bias = true", "is_causal = false", "hidden_size = -1",
                           "rope_scaling.type = \"yarn\"", "quantization_config = {\"quant_method\":\"gptq\"}: the weights are quantized"})
    EXPECT_THAT(message, HasSubstr(part));
  EXPECT_THAT(message, Not(HasSubstr("beta_fast")));  // yarn's own
  // What only a part of a wrong size would tell is left for the next time.
  EXPECT_THAT(message, Not(HasSubstr("must divide")));
}

TEST(ConfigKeys, NullAndFalseAreNoWayAroundThat) {
  EXPECT_THAT(refusal(with("gpt2", {{"is_causal", nullptr}})), HasSubstr("is_causal = null"));
  EXPECT_THAT(refusal(with("gpt2", {{"scale_attn_weights", false}})), HasSubstr("scale_attn_weights = false"));
  EXPECT_THAT(refusal(with("gpt2", {{"tie_word_embeddings", nullptr}})), HasSubstr("tie_word_embeddings = null"));
  EXPECT_EQ(refusal(with("llama", {{"is_causal", true}, {"sliding_window", nullptr}, {"layer_types", nullptr}, {"head_dim", nullptr}})),
            "accepted");
}

TEST(ConfigKeys, EachFamilyIsRefusedWhatItsOwnClassReads) {
  const Json biased = {{"attention_bias", true}};
  EXPECT_THAT(refusal(with("qwen3", biased)), HasSubstr("attention_bias = true"));
  EXPECT_EQ(refusal(with("mistral", biased)), "accepted");  // its class never reads it
  EXPECT_THAT(refusal(with("llama", {{"sliding_window", 8}})), HasSubstr("sliding_window = 8: this family has none"));
  EXPECT_THAT(refusal(with("gpt2", {{"layer_types", {"sliding_attention"}}})), HasSubstr("layer_types"));
  for (const Json& change :
       {Json{{"quantization", {{"bits", 4}}}}, Json{{"per_layer_config", {{"0", {{"hidden_act", "gelu"}}}}}},
        Json{{"transformers_weights", "a.safetensors"}}, Json{{"pruned_heads", {{"0", {1}}}}}, Json{{"rope_interleaved", true}},
        Json{{"attention_chunk_size", 8}}, Json{{"text_config", {{"hidden_size", 8}}}}, Json{{"partial_rotary_factor", 0.5}}}) {
    EXPECT_THAT(refusal(with("llama", change)), HasSubstr(change.begin().key() + " = ")) << change;
  }
}

TEST(ConfigKeys, AModelSavedWithoutItsHeadIsTaken) {
  for (const Json& architectures : {Json::array({"LlamaModel"}), Json::array(), Json()}) {
    const Json json = with("llama", {{"architectures", architectures}});
    EXPECT_EQ(refusal(json), "accepted") << architectures;
    EXPECT_EQ(make_model_config(parse(json), Dtype::fp32, json)["architectures"], Json::array({"LlamaForCausalLM"}));
  }
  EXPECT_THAT(refusal(with("llama", {{"architectures", {"MistralModel"}}})), HasSubstr("architectures"));
}

}  // namespace
}  // namespace gsnake::hf
