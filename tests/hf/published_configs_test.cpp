// config.json of the models that people take most, with the keys that they were published with, at their real sizes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hf/model_config.h"
#include "hf/temp_folder.h"

namespace gsnake::hf {
namespace {

using testing::ElementsAre;

const Json& published() {
  static const Json all = Json::parse(test::read_file(std::string(GSNAKE_PUBLISHED) + "/published.json"));
  return all;
}
std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, entry] : published().items()) all.push_back(name);
  return all;
}

// As the families' papers have them.
std::int64_t parameters(const ModelConfig& m) {
  if (m.family == ModelFamily::gpt2)
    return (m.vocab + m.context + 2) * m.hidden + m.layers * (4 * m.hidden + 2 * m.intermediate + 9) * m.hidden + m.layers * m.intermediate;
  const std::int64_t queries = m.heads * m.head_dim;
  const std::int64_t keys = m.kv_heads * m.head_dim;
  const std::int64_t biases = m.qkv_bias ? queries + 2 * keys : 0;
  const std::int64_t norms = 2 * m.hidden + (m.qk_norm ? 2 * m.head_dim : 0);
  const std::int64_t layer = 2 * m.hidden * (queries + keys) + 3 * m.hidden * m.intermediate + biases + norms;
  return (m.tie_embeddings ? 1 : 2) * m.vocab * m.hidden + m.layers * layer + m.hidden;
}

class Published : public testing::TestWithParam<std::string> {};

TEST_P(Published, IsReadWithoutAnEditAndHasItsNumberOfParameters) {
  const Json& entry = published()[GetParam()];
  const ModelConfig model = parse_model_config("config.json", entry["config"].dump());
  EXPECT_EQ(parameters(model), entry["parameters"].get<std::int64_t>());
  // What was published says no more than the folder that an export makes of it.
  const ModelConfig again = parse_model_config("config.json", make_model_config(model, Dtype::bf16, {}).dump());
  EXPECT_EQ(parameters(again), parameters(model));
  EXPECT_EQ(again.sliding_window, model.sliding_window);
  EXPECT_EQ(again.rope_theta, model.rope_theta);
  EXPECT_EQ(again.rope_scaling.type, model.rope_scaling.type);
}

INSTANTIATE_TEST_SUITE_P(Models, Published, testing::ValuesIn(names()), [](const auto& instance) {
  std::string name = instance.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

TEST(PublishedConfigs, SayWhichKeysArePassedOver) {
  const auto unread = [](const char* name) { return parse_config("config.json", published()[name]["config"].dump()).unread; };
  EXPECT_THAT(unread("gpt2-xl"), ElementsAre());
  EXPECT_THAT(unread("Llama-3.1-8B-Instruct"), ElementsAre());
  EXPECT_THAT(unread("Qwen3-8B"), ElementsAre());
  EXPECT_THAT(unread("SmolLM2-1.7B-Instruct"), ElementsAre("is_llama_config", "transformers.js_config"));
  EXPECT_THAT(unread("Falcon3-7B-Instruct"), ElementsAre("activation"));
}

TEST(PublishedConfigs, HaveTheWindowsAndPositionsThatTransformersGivesThem) {
  const auto model = [](const char* name) { return parse_model_config("config.json", published()[name]["config"].dump()); };
  EXPECT_EQ(model("Mistral-7B-v0.1").sliding_window, 4096);
  EXPECT_EQ(model("Mistral-7B-Instruct-v0.2").sliding_window, 0);
  EXPECT_EQ(model("Qwen2.5-14B-Instruct").sliding_window, 0);
  EXPECT_EQ(model("Mistral-Nemo-Instruct-2407").head_dim, 128);
  EXPECT_EQ(model("Llama-2-7b").rope_theta, 10000.0);
  EXPECT_EQ(model("Falcon3-7B-Instruct").rope_theta, 1000042.0);
  EXPECT_EQ(model("vicuna-7b-v1.5-16k").rope_scaling.type, RopeScalingType::linear);
  EXPECT_EQ(model("Llama-3.2-1B").rope_scaling.factor, 32.0);
  EXPECT_EQ(model("Llama-3.2-1B").rope_scaling.original_context, 8192);
}

}  // namespace
}  // namespace gsnake::hf
