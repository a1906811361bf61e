#include "model/families.h"

#include <fmt/format.h>

#include "greedysnake/error.h"
#include "greedysnake/models.h"
#include "model/adapters.h"

namespace gsnake::model {
namespace {

void require_positive(const char* key, std::int64_t value) {
  if (value < 1) refuse(key, std::to_string(value), "must be at least 1");
}

}  // namespace

void refuse(const char* key, const std::string& value, const std::string& why) {
  throw Error(ErrorKind::usage, fmt::format("model.{} = {}: {}", key, value, why));
}

void check_common(const ModelConfig& config) {
  require_positive("layers", config.layers);
  require_positive("hidden", config.hidden);
  require_positive("heads", config.heads);
  require_positive("vocab", config.vocab);
  require_positive("context", config.context);
  if (config.kv_heads < 0) refuse("kv_heads", std::to_string(config.kv_heads), "must be at least 1, or 0 for as many as heads");
  if (config.head_dim < 0) refuse("head_dim", std::to_string(config.head_dim), "must be at least 1, or 0 for hidden / heads");
  if (config.intermediate < 0)
    refuse("intermediate", std::to_string(config.intermediate), "must be at least 1, or 0 for the family's default");
  if (config.head_dim == 0 && config.hidden % config.heads != 0) {
    refuse("heads", std::to_string(config.heads), fmt::format("must divide model.hidden = {}", config.hidden));
  }
  if (!(config.dropout >= 0.0 && config.dropout < 1.0)) refuse("dropout", fmt::format("{}", config.dropout), "must be in [0, 1)");
  if (!(config.norm_epsilon > 0.0)) refuse("norm_epsilon", fmt::format("{}", config.norm_epsilon), "must be above 0");
}

Model assemble(const ModelConfig& config, const FamilyUnits& units, const char* tied_embedding, const char* tied_head) {
  Model model;
  const auto hidden = static_cast<double>(config.hidden);
  model.kinds = {{"embedding", units.embedding, hidden},
                 {"block", units.block, units.block_forward_flops_per_token},
                 {"head", units.head, 2.0 * hidden * static_cast<double>(config.vocab)}};
  model.units.assign(static_cast<std::size_t>(config.layers) + 2, 1);
  model.units.front() = 0;
  model.units.back() = 2;
  if (config.tie_embeddings) model.tied.push_back({tied_embedding, tied_head});
  model.hidden = config.hidden;
  model.vocab = config.vocab;
  model.max_context = config.context;
  return model;
}

}  // namespace gsnake::model

namespace gsnake::models {

Model make(const ModelConfig& config) {
  switch (config.family) {
    case ModelFamily::gpt2:
      return gpt2(config);
    case ModelFamily::llama:
      return llama(config);
    case ModelFamily::qwen2:
      return qwen2(config);
    case ModelFamily::qwen3:
      return qwen3(config);
    case ModelFamily::mistral:
      return mistral(config);
  }
  model::refuse("family", word_of(config.family), "must be one of " + listed_words<ModelFamily>());
}

Model make(const Config& config) {
  Model model = make(config.model);
  model::add_adapters(model, config.adapter);
  return model;
}

}  // namespace gsnake::models
