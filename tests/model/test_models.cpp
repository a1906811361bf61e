#include <gtest/gtest.h>

#include <functional>

#include "bound_unit.h"
#include "greedysnake/error.h"
#include "model/unit_ops.h"

namespace gsnake {
namespace {

using test::BoundUnit;
using test::small_gpt2;
using test::small_llama;

torch::Tensor parameter(const torch::nn::Module& module, const std::string& name) { return module.named_parameters()[name]; }

void expect_refused(const std::string& key, ModelConfig config, const std::function<void(ModelConfig&)>& change) {
  change(config);
  try {
    models::make(config);
    ADD_FAILURE() << "accepted a wrong " << key;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("model." + key), std::string::npos) << error.what();
  }
}

TEST(Models, RefuseShapesThatCannotBeNamingTheKey) {
  expect_refused("family", small_gpt2(), [](auto& c) { c.family = static_cast<ModelFamily>(99); });
  expect_refused("heads", small_gpt2(), [](auto& c) { c.heads = 5; });
  expect_refused("layers", small_gpt2(), [](auto& c) { c.layers = 0; });
  expect_refused("hidden", small_gpt2(), [](auto& c) { c.hidden = -4; });
  expect_refused("vocab", small_gpt2(), [](auto& c) { c.vocab = 0; });
  expect_refused("context", small_llama(), [](auto& c) { c.context = 0; });
  expect_refused("dropout", small_gpt2(), [](auto& c) { c.dropout = 1.0; });
  expect_refused("dropout", small_llama(), [](auto& c) { c.dropout = 0.1; });
  expect_refused("norm_epsilon", small_gpt2(), [](auto& c) { c.norm_epsilon = 0.0; });
  expect_refused("kv_heads", small_gpt2(), [](auto& c) { c.kv_heads = 2; });
  expect_refused("kv_heads", small_llama(), [](auto& c) { c.kv_heads = 3; });
  expect_refused("head_dim", small_llama(), [](auto& c) { c.head_dim = 7; });
  expect_refused("head_dim", small_gpt2(), [](auto& c) { c.head_dim = 7; });
  expect_refused("rope_theta", small_llama(), [](auto& c) { c.rope_theta = 0.0; });
  expect_refused("intermediate", small_llama(), [](auto& c) { c.intermediate = -1; });
}

TEST(Models, AreOneEmbeddingTheBlocksAndOneHead) {
  const Model model = models::make(small_gpt2());
  EXPECT_EQ(model.units, (std::vector<int>{0, 1, 1, 2}));
  EXPECT_NE(std::dynamic_pointer_cast<EmbeddingUnit>(model.kinds[0].module), nullptr);
  EXPECT_NE(std::dynamic_pointer_cast<Unit>(model.kinds[1].module), nullptr);
  EXPECT_NE(std::dynamic_pointer_cast<HeadUnit>(model.kinds[2].module), nullptr);
}

TEST(Models, TiedNamesAreParametersOfEqualShape) {
  for (ModelConfig config : {small_gpt2(), small_llama()}) {
    config.tie_embeddings = true;
    const Model model = models::make(config);
    ASSERT_EQ(model.tied.size(), 1U);
    EXPECT_EQ(parameter(*model.kinds[0].module, model.tied[0].embedding_name).sizes(),
              parameter(*model.kinds[2].module, model.tied[0].head_name).sizes());
    config.tie_embeddings = false;
    EXPECT_TRUE(models::make(config).tied.empty());
  }
}

TEST(Models, HaveHuggingFacesParameterNames) {
  const Model gpt2 = models::make(small_gpt2());
  const Model llama = models::make(small_llama());
  const auto names = [](const Model& model) {
    std::vector<std::string> all;
    for (const auto& info : model::parameters_of(*model.kinds[1].module)) all.push_back(info.name);
    return all;
  };
  EXPECT_EQ(names(gpt2), (std::vector<std::string>{"ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias",
                                                   "attn.c_proj.weight", "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight",
                                                   "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"}));
  EXPECT_EQ(names(llama), (std::vector<std::string>{"input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight",
                                                    "self_attn.v_proj.weight", "self_attn.o_proj.weight", "post_attention_layernorm.weight",
                                                    "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"}));
}

TEST(Models, InitializationHasTheFamilysScales) {
  ModelConfig config = small_gpt2();
  config.hidden = 128;
  config.layers = 8;
  const Model model = models::make(config);
  BoundUnit block(model.kinds[1].module);
  block.bind();
  model::seed_initialization(1, 1);
  model.initialize(block.module(), 1);
  EXPECT_NEAR(parameter(block.module(), "attn.c_attn.weight").std().item<double>(), 0.02, 0.0005);
  EXPECT_NEAR(parameter(block.module(), "mlp.c_proj.weight").std().item<double>(), 0.02 / 4.0, 0.0002);
  EXPECT_NEAR(parameter(block.module(), "attn.c_proj.weight").std().item<double>(), 0.02 / 4.0, 0.0002);
  EXPECT_TRUE(torch::equal(parameter(block.module(), "ln_1.weight").detach(), torch::ones(128)));
  EXPECT_TRUE(torch::equal(parameter(block.module(), "mlp.c_fc.bias").detach(), torch::zeros(512)));
}

TEST(Models, InitializationLeavesATiedHeadWeightAlone) {
  for (ModelConfig config : {small_gpt2(), small_llama()}) {
    config.tie_embeddings = true;
    const Model model = models::make(config);
    BoundUnit head(model.kinds[2].module);
    head.weights().fill_(5.0);
    head.bind();
    model.initialize(head.module(), config.layers + 1);
    EXPECT_TRUE(parameter(head.module(), "lm_head.weight").eq(5.0).all().item<bool>());
  }
}

TEST(Models, GroupedQueryAttentionEqualsFullHeadsWithRepeatedKeysAndValues) {
  BoundUnit grouped(models::make(small_llama(2)).kinds[1].module);
  BoundUnit full(models::make(small_llama(4)).kinds[1].module);
  grouped.fill(5);
  grouped.bind();
  full.bind();
  const torch::NoGradGuard no_grad;
  for (auto& item : full.module().named_parameters()) {
    const torch::Tensor source = parameter(grouped.module(), item.key());
    const bool is_repeated = source.sizes() != item.value().sizes();
    // (kv heads, head_dim, hidden): query heads 0 and 1 share key head 0.
    item.value().copy_(is_repeated ? source.view({2, 12, 48}).repeat_interleave(2, 0).reshape({48, 48}) : source);
  }
  const torch::Tensor x = torch::randn({2, 9, 48});
  torch::Tensor of_grouped = torch::empty_like(x);
  torch::Tensor of_full = torch::empty_like(x);
  model::forward(grouped.module(), x, of_grouped);
  model::forward(full.module(), x, of_full);
  EXPECT_TRUE(torch::allclose(of_grouped, of_full, 1e-5, 1e-5));
}

TEST(Models, DropoutActsInTrainingOnlyAndFollowsTheSeed) {
  BoundUnit block(models::make(small_gpt2(0.5)).kinds[1].module);
  block.fill(5);
  block.bind();
  const torch::Tensor x = torch::randn({2, 9, 48});
  const auto output = [&](bool training, std::uint64_t micro_batch) {
    block.module().train(training);
    torch::Tensor result = torch::empty_like(x);
    model::seed_unit(1, 1, 1, micro_batch);
    model::forward(block.module(), x, result);
    return result;
  };
  EXPECT_TRUE(torch::equal(output(true, 0), output(true, 0)));
  EXPECT_FALSE(torch::equal(output(true, 0), output(true, 1)));
  EXPECT_FALSE(torch::equal(output(true, 0), output(false, 0)));
  EXPECT_TRUE(torch::equal(output(false, 0), output(false, 1)));
}

TEST(Models, RowsOfDifferentLengthsCanAlternate) {
  BoundUnit block(models::make(small_llama()).kinds[1].module);
  block.fill(5);
  block.bind();
  const torch::Tensor x = torch::randn({1, 20, 48});
  torch::Tensor all = torch::empty_like(x);
  torch::Tensor part = torch::empty({1, 6, 48});
  model::forward(block.module(), x.narrow(1, 0, 6), part);
  model::forward(block.module(), x, all);
  EXPECT_TRUE(torch::allclose(part, all.narrow(1, 0, 6), 1e-5, 1e-5));
  torch::Tensor again = torch::empty({1, 6, 48});
  model::forward(block.module(), x.narrow(1, 0, 6), again);
  EXPECT_TRUE(torch::equal(part, again));
}

}  // namespace
}  // namespace gsnake
