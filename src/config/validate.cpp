// The rules that a config must keep whatever wrote it: each key's own range, then those between keys.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "config/keys.h"
#include "config/unsupported.h"
#include "core/model_shape.h"
#include "core/utf8.h"
#include "greedysnake/config.h"
#include "greedysnake/error.h"

namespace gsnake {

namespace {

void require(bool kept, const std::string& message) {
  if (!kept) throw Error(ErrorKind::usage, message);
}

void check_ranges(const Config& config) {
  for (const auto& key : config::keys()) {
    if (key.in_range(config)) continue;
    throw Error(ErrorKind::usage, fmt::format("{} = {}: must be {}", key.name, config::to_text(key.read(config)), key.allowed));
  }
}

void check_heads(const ModelConfig& model) {
  using core::kMostWide;
  require(model.head_dim <= kMostWide / model.heads,
          fmt::format("model.head_dim = {}: with model.heads = {} that is more than the {} that heads may have in all", model.head_dim, model.heads, kMostWide));
  require(model.head_dim > 0 || model.hidden % model.heads == 0,
          fmt::format("model.heads = {}: must divide model.hidden = {}, or set model.head_dim", model.heads, model.hidden));
  if (model.kv_heads > 0) {
    require(model.heads % model.kv_heads == 0,
            fmt::format("model.kv_heads = {}: must divide model.heads = {}", model.kv_heads, model.heads));
  }
  if (model.family == ModelFamily::gpt2) {
    require(model.kv_heads == 0 || model.kv_heads == model.heads,
            fmt::format("model.kv_heads = {}: the gpt2 family has as many as model.heads = {}; leave it out", model.kv_heads, model.heads));
    require(model.head_dim == 0 || model.head_dim * model.heads == model.hidden,
            fmt::format("model.head_dim = {}: the gpt2 family has model.hidden / model.heads; leave it out", model.head_dim));
  } else {
    const auto head_dim = model.head_dim > 0 ? model.head_dim : model.hidden / model.heads;
    require(head_dim % 2 == 0, fmt::format("model.head_dim = {}: must be even, since rotary positions turn pairs of elements", head_dim));
  }
}

// What only some families have.
void check_family(const ModelConfig& model) {
  using enum ModelFamily;
  const ModelFamily family = model.family;
  const auto refuse_if = [&](bool asked_for, const char* key, const char* who) {
    require(!asked_for, fmt::format("model.{}: the {} family has none, only {}; leave it out", key, word_of(family), who));
  };
  refuse_if(model.qkv_bias && family != gpt2 && family != qwen2, "qkv_bias", "gpt2 and qwen2, which always have it");
  refuse_if(model.qk_norm && family != qwen3, "qk_norm", "qwen3, which always has it");
  refuse_if(model.sliding_window > 0 && (family == gpt2 || family == llama), "sliding_window", "mistral, qwen2 and qwen3");
  refuse_if(model.rope_scaling.type != RopeScalingType::none && family == gpt2, "rope_scaling.type", "families with rotary positions");
  refuse_if(model.dropout > 0.0 && family != gpt2, "dropout", "gpt2");
}

void check_model(const ModelConfig& model) {
  check_heads(model);
  check_family(model);
  const auto& rope = model.rope_scaling;
  if (rope.type == RopeScalingType::llama3) {
    require(rope.original_context > 0, "model.rope_scaling.original_context = 0: llama3 scaling needs the context before scaling");
    require(rope.low_freq_factor < rope.high_freq_factor,
            fmt::format("model.rope_scaling.low_freq_factor = {}: must be below high_freq_factor = {}", rope.low_freq_factor,
                        rope.high_freq_factor));
  }
}

void check_data(const Config& config) {
  // Without files to train on, batches are the program's own, and so are those to validate on.
  require(config.train.validate_every == 0 || config.data.train.empty() || !config.data.validation.empty() || config.data.validation_split > 0.0,
          fmt::format(
              "train.validate_every = {}: data.validation names no file; add one, set data.validation_split or train.validate_every = 0",
              config.train.validate_every));
  require(config.data.validation_split == 0.0 || config.data.validation.empty(),
          fmt::format("data.validation_split = {}: data.validation names files to validate on; set it to 0 or name none",
                      config.data.validation_split));
  const auto weighted = [](const DataFile& file) { return file.weight > 0.0; };
  const auto& train = config.data.train;
  const auto plain = std::find_if_not(train.begin(), train.end(), weighted);
  require(plain == train.end() || std::none_of(train.begin(), train.end(), weighted),
          fmt::format("data.train: \"{}\" has no weight and others have one; give each file a weight, or none",
                      plain == train.end() ? "" : plain->path));
  require(std::none_of(config.data.validation.begin(), config.data.validation.end(), weighted),
          "data.validation: its files have no weights, since they are read in their order; leave weight out");
  require(config.data.separator < config.model.vocab,
          fmt::format("data.separator = {}: must be below model.vocab = {}", config.data.separator, config.model.vocab));
}

void check_train(const Config& config) {
  const auto& train = config.train;
  require(train.sequence_length <= config.model.context,
          fmt::format("train.sequence_length = {}: must be at most model.context = {}", train.sequence_length, config.model.context));
  constexpr std::int64_t kMaxTokens = std::int64_t{1} << 40;
  require(
      train.micro_batches <= kMaxTokens / train.micro_batch_size / train.sequence_length,
      fmt::format("train.micro_batches = {}: a step of more than 2^40 tokens; lower it, train.micro_batch_size or train.sequence_length",
                  train.micro_batches));
  require(train.schedule != Schedule::horizontal || train.order != MicroBatchOrder::snake,
          "train.order = \"snake\": the horizontal schedule is ascending by nature; set train.order = \"ascending\" or \"auto\"");
}

// The update computes in fp32.
void check_floats(const Config& config) {
  const OptimizerConfig& o = config.optimizer;
  const auto as_float = [](double value) { return static_cast<float>(value); };
  require(std::isnormal(as_float(o.epsilon)), fmt::format("optimizer.epsilon = {}: is zero or infinite in fp32", o.epsilon));
  require(std::isfinite(as_float(o.learning_rate)), fmt::format("optimizer.learning_rate = {}: is infinite in fp32", o.learning_rate));
  require(as_float(o.beta1) < 1.0F && as_float(o.beta2) < 1.0F,
          fmt::format("optimizer.betas = [{}, {}]: are not below 1 in fp32", o.beta1, o.beta2));
  const double scale = config.train.loss_scale;
  require(scale < 0.0 || (std::isnormal(as_float(scale)) && std::isnormal(as_float(1.0 / scale))),
          fmt::format("train.loss_scale = {}: it or its inverse is zero or infinite in fp32", scale));
}

void check_optimizer(const OptimizerConfig& optimizer) {
  require(optimizer.decay == LearningRateDecay::constant || optimizer.decay_steps > optimizer.warmup_steps,
          fmt::format("optimizer.decay_steps = {}: must be above optimizer.warmup_steps = {}, since it counts the warm-up",
                      optimizer.decay_steps, optimizer.warmup_steps));
  require(optimizer.min_learning_rate <= optimizer.learning_rate,
          fmt::format("optimizer.min_learning_rate = {}: must be at most optimizer.learning_rate = {}", optimizer.min_learning_rate,
                      optimizer.learning_rate));
}

void check_placement(const PlacementConfig& placement) {
  for (const auto& [name, tiers] : {std::pair{"weights", placement.weights}, std::pair{"optimizer", placement.optimizer},
                                    std::pair{"activations", placement.activations}, std::pair{"gradients", placement.gradients}}) {
    // Thirds written in decimals may sum to a rounding error above 1.
    require(
        tiers.device + tiers.host <= 1.0 + 1e-9,
        fmt::format("placement.{} = {{ device = {}, host = {} }}: the fractions must sum to at most 1", name, tiers.device, tiers.host));
  }
  require(placement.gradients.device == 0.0,
          fmt::format("placement.gradients.device = {}: gradients wait in host memory or on SSD; set it to 0", placement.gradients.device));
}

// The same folder, however it is spelt; links are not followed, since folders need not exist yet.
std::string comparable(const std::string& path) {
  auto absolute = std::filesystem::absolute(path).lexically_normal();
  return absolute.has_filename() ? absolute.string() : absolute.parent_path().string();
}

// What a run keeps in its commits is JSON, which holds no other text.
void check_names(const Config& config) {
  const auto check = [](const std::string& key, const std::string& path) {
    require(core::is_utf8(path), fmt::format("{} = {}: its name is not UTF-8, and a run's records can hold no other; rename it, or choose another", key, core::quoted(path)));
  };
  check("run.dir", config.run.dir);
  for (const std::string& path : config.ssd.paths) check("ssd.paths", path);
  check("model.from", config.model.from);
  check("adapter.base", config.adapter.base);
  check("adapter.from", config.adapter.from);
  check("data.tokenizer", config.data.tokenizer);
  check("run.metrics", config.run.metrics);
  check("run.trace", config.run.trace);
  for (const auto& [key, files] : {std::pair("data.train", &config.data.train), std::pair("data.validation", &config.data.validation)}) {
    for (const DataFile& file : *files) {
      check(key, file.path);
      check(key, file.mask);
    }
  }
}

void check_folders(const Config& config) {
  const auto& ssd = config.ssd;
  require(!ssd.paths.empty(), "ssd.paths = []: name at least one folder");
  std::set<std::string> seen{comparable(config.run.dir)};
  for (const auto& path : ssd.paths) {
    require(seen.insert(comparable(path)).second,
            fmt::format("ssd.paths: \"{}\" is named twice, or is run.dir; give each path a folder of its own", path));
  }
  require(ssd.weights.empty() || ssd.weights.size() == ssd.paths.size(),
          fmt::format("ssd.weights: {} shares for {} paths; give one per path, or none", ssd.weights.size(), ssd.paths.size()));
  require(config.run.metrics.empty() || config.run.metrics != config.run.trace,
          fmt::format("run.trace = \"{}\": is run.metrics as well; give each a file of its own", config.run.trace));
}

void check_ranks(const Config& config) {
  const RanksConfig& ranks = config.ranks;
  require(ranks.count >= 1 && ranks.rank >= 0 && ranks.rank < ranks.count && ranks.local_rank >= 0 && ranks.local_rank < ranks.local_count,
          fmt::format("ranks: number {} of {} ({} of {} on its machine) is none of them", ranks.rank, ranks.count, ranks.local_rank, ranks.local_count));
  require(config.train.micro_batches < 0 || config.train.micro_batches % ranks.count == 0,
          fmt::format("train.micro_batches = {}: {} ranks take equal shares of a step's micro-batches; make it a multiple of {}", config.train.micro_batches, ranks.count, ranks.count));
}

void check_adapter(const Config& config) {
  const AdapterConfig& adapter = config.adapter;
  for (const auto& [key, value] : {std::pair("adapter.base", adapter.base), std::pair("adapter.from", adapter.from)}) {
    require(value.empty() || adapter.present(), fmt::format("{} = {}: adapter.rank is 0, so there is no adapter; give it a rank, or leave this out", key, core::quoted(value)));
  }
  require(adapter.train_whole.empty() || adapter.present(), "adapter.train_whole: adapter.rank is 0, so the whole model is trained; give it a rank, or leave this out");
  require(adapter.from.empty() || !adapter.base.empty() || !config.model.from.empty(),
          fmt::format("adapter.from = {}: an adapter is nothing beside random weights; name its model in model.from, or a base of it in adapter.base", core::quoted(adapter.from)));
}

void check_objective(const Config& config) {
  if (config.train.objective != Objective::dpo) return;
  require(config.adapter.present(), "train.objective = \"dpo\": its reference is the base without the adapter; add a table [adapter]");
  require(config.adapter.train_whole.empty(),
          "adapter.train_whole: with train.objective = \"dpo\" the reference is the base without the adapter, which modules trained whole are part of; leave it empty");
  require(config.data.documents == Documents::automatic || config.data.documents == Documents::separate,
          "data.documents: a row of train.objective = \"dpo\" is one answer; leave it at \"auto\"");
}

}  // namespace

bool Config::leaves_choices() const {
  const auto automatic = [](std::uint64_t budget) { return budget == kAutomaticBytes; };
  const PlacementConfig& p = placement;
  const bool places = p.weights.automatic || p.optimizer.automatic || p.activations.automatic || p.gradients.automatic || p.kept.automatic || p.update.automatic;
  return places || automatic(memory.device_budget) || automatic(memory.host_budget) || train.micro_batches < 0 || optimizer.moments == MomentFormat::automatic;
}

Config Config::automatic() {
  Config config;
  config.placement.weights = config.placement.optimizer = config.placement.activations = config.placement.gradients = config.placement.kept = {0.0, 0.0, true};
  config.placement.update.automatic = true;
  config.memory.device_budget = config.memory.host_budget = kAutomaticBytes;
  return config;
}

void Config::validate() const {
  check_ranges(*this);
  check_model(model);
  check_data(*this);
  check_train(*this);
  check_adapter(*this);
  check_objective(*this);
  check_optimizer(optimizer);
  check_floats(*this);
  check_placement(placement);
  check_names(*this);
  check_folders(*this);
  check_ranks(*this);
  config::refuse_unsupported(*this);
}

}  // namespace gsnake
