// config.json gives the shape, or is refused by the name of the key.
#include "hf/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"
#include "hf/config_text.h"

namespace gsnake::hf {
namespace {

using test::fixture;
using test::parse;
using test::refusal;
using testing::HasSubstr;

TEST(ModelConfigFile, GivesEveryFamilysShape) {
  const ModelConfig gpt2 = parse(fixture("gpt2"));
  EXPECT_EQ(gpt2.family, ModelFamily::gpt2);
  EXPECT_EQ(gpt2.hidden, 16);
  EXPECT_EQ(gpt2.intermediate, 64);
  EXPECT_EQ(gpt2.context, 32);
  EXPECT_TRUE(gpt2.tie_embeddings);
  const ModelConfig llama = parse(fixture("llama"));
  EXPECT_EQ(llama.kv_heads, 1);
  EXPECT_EQ(llama.rope_scaling.type, RopeScalingType::llama3);
  EXPECT_EQ(llama.rope_scaling.factor, 8.0);
  EXPECT_EQ(llama.rope_scaling.original_context, 16);
  EXPECT_EQ(llama.rope_theta, 500000.0);
  EXPECT_EQ(parse(fixture("mistral")).sliding_window, 5);
  const ModelConfig qwen2 = parse(fixture("qwen2"));
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_TRUE(qwen2.tie_embeddings);
  EXPECT_EQ(qwen2.sliding_window, 0);
  const ModelConfig qwen3 = parse(fixture("qwen3"));
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_EQ(qwen3.head_dim, 12);
}

// As transformers 4 wrote them.
TEST(ModelConfigFile, ReadsRopeInTheOlderForm) {
  Json json = fixture("llama");
  json.erase("rope_parameters");
  json["rope_theta"] = 1e6;
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  const ModelConfig model = parse(json);
  EXPECT_EQ(model.rope_theta, 1e6);
  EXPECT_EQ(model.rope_scaling.type, RopeScalingType::linear);
  EXPECT_EQ(model.rope_scaling.factor, 2.0);
  json["rope_scaling"] = nullptr;
  EXPECT_EQ(parse(json).rope_scaling.type, RopeScalingType::none);
}

TEST(ModelConfigFile, MistralSlidesUnlessItSaysNot) {
  Json json = fixture("mistral");
  json.erase("sliding_window");
  EXPECT_EQ(parse(json).sliding_window, 4096);
  json["sliding_window"] = nullptr;
  EXPECT_EQ(parse(json).sliding_window, 0);
}

TEST(ModelConfigFile, RefusesArchitecturesAndOptionsByName) {
  const auto changed = [](const char* family, const char* key, const Json& value) {
    Json json = fixture(family);
    json[key] = value;
    return refusal(json);
  };
  EXPECT_THAT(changed("llama", "model_type", "gemma"), HasSubstr("model_type = \"gemma\": this build has gpt2"));
  EXPECT_THAT(changed("llama", "architectures", {"LlamaForSequenceClassification"}), HasSubstr("this build has LlamaForCausalLM"));
  EXPECT_THAT(changed("llama", "hidden_act", "gelu"), HasSubstr("hidden_act = \"gelu\""));
  EXPECT_THAT(changed("llama", "attention_bias", true), HasSubstr("attention_bias"));
  EXPECT_THAT(changed("llama", "rope_parameters", {{"rope_type", "yarn"}}), HasSubstr("rope_parameters.rope_type = \"yarn\""));
  EXPECT_THAT(changed("llama", "rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}, {"odd", 1}}),
              HasSubstr("rope_parameters.odd"));
  EXPECT_THAT(changed("gpt2", "activation_function", "relu"), HasSubstr("activation_function"));
  EXPECT_THAT(changed("gpt2", "attn_pdrop", 0.5), HasSubstr("attn_pdrop = 0.5"));
  EXPECT_THAT(changed("gpt2", "scale_attn_by_inverse_layer_idx", true), HasSubstr("scale_attn_by_inverse_layer_idx"));
  EXPECT_THAT(changed("qwen2", "layer_types", {"full_attention", "sliding_attention"}), HasSubstr("layer_types"));
  EXPECT_THAT(changed("qwen2", "layer_types", {"full_attention"}), HasSubstr("one type for each layer"));
}

TEST(ModelConfigFile, RefusesSizesThatCannotBe) {
  const auto changed = [](const char* key, const Json& value) {
    Json json = fixture("llama");
    json[key] = value;
    return refusal(json);
  };
  for (const Json& value : {Json(0), Json(-1), Json(1ULL << 63U), Json(2147483648), Json(1.5), Json("16"), Json(true), Json()}) {
    EXPECT_THAT(changed("hidden_size", value), HasSubstr("must be an integer in 1..2147483647")) << value;
  }
  EXPECT_THAT(changed("num_key_value_heads", 3), HasSubstr("must divide the 2 attention heads"));
  EXPECT_THAT(changed("head_dim", 7), HasSubstr("must be even"));
  EXPECT_THAT(changed("rms_norm_eps", 0), HasSubstr("must be a number > 0"));
  Json odd = fixture("llama");
  odd.erase("head_dim");
  odd["num_attention_heads"] = 3;
  odd["num_key_value_heads"] = 3;
  EXPECT_THAT(refusal(odd), HasSubstr("must divide the hidden size"));
}

TEST(ModelConfigFile, WhatIsWrittenIsReadBack) {
  for (const char* family : {"gpt2", "llama", "mistral", "qwen2", "qwen3"}) {
    ModelConfig model = parse(fixture(family));
    for (const bool scaled : {false, true}) {
      if (family != std::string("gpt2")) model.rope_scaling = scaled ? RopeScaling{RopeScalingType::linear, 4.0, 1.0, 4.0, 0} : RopeScaling{};
      const ModelConfig read = parse(make_model_config(model, Dtype::bf16, {}));
      EXPECT_EQ(read.hidden, model.hidden);
      EXPECT_EQ(read.head_dim, model.head_dim);
      EXPECT_EQ(read.intermediate, model.intermediate);
      EXPECT_EQ(read.context, model.context);
      EXPECT_EQ(read.sliding_window, model.sliding_window) << family;
      EXPECT_EQ(read.rope_theta, model.rope_theta);
      EXPECT_EQ(read.rope_scaling.type, model.rope_scaling.type);
      EXPECT_EQ(read.tie_embeddings, model.tie_embeddings);
    }
  }
}

TEST(ModelConfigFile, WhatWasCarriedStaysAsItWas) {
  Json carried = fixture("llama");
  carried["eos_token_id"] = 7;
  Json expected = carried;
  expected["dtype"] = "bfloat16";
  EXPECT_EQ(make_model_config(parse(carried), Dtype::bf16, carried), expected);
  ModelConfig longer = parse(carried);
  longer.context = 4096;
  const Json written = make_model_config(longer, Dtype::bf16, carried);
  EXPECT_EQ(written["max_position_embeddings"], 4096);
  EXPECT_EQ(written["eos_token_id"], 7);
}

}  // namespace
}  // namespace gsnake::hf
