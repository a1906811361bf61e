#include "checkpoint/run_state.h"

#include <algorithm>
#include <array>
#include <functional>

#include "core/model_shape.h"
#include "greedysnake/error.h"

namespace gsnake::checkpoint {
namespace {

// Keys of [train] that are part of the maths; of [model], [data] and [optimizer], all are.
constexpr std::array kMathsOfTrain{"micro_batches", "micro_batch_size", "sequence_length", "dtype", "compute_threads", "seed", "head_chunk", "loss_scale", "on_nonfinite", "objective", "dpo_beta"};

bool part_of_maths(const std::string& section, const std::string& key) {
  if (section == "optimizer") return key != "clipping_mode";
  if (section == "model") return key != "from";  // only a new run's weights come from there
  if (section == "data") return key != "validation" && key != "tokenizer";
  if (section == "adapter") return key != "base" && key != "from";  // the one is known by its content; of the other the run has what it needs
  return section == "train" && std::find(kMathsOfTrain.begin(), kMathsOfTrain.end(), key) != kMathsOfTrain.end();
}

// `auto` stands for an order that depends on the schedule.
std::string effective_order(const nlohmann::json& config) {
  const std::string order = config.at("train").at("order");
  if (order != word_of(MicroBatchOrder::automatic)) return order;
  return word_of(config.at("train").at("schedule") == word_of(Schedule::vertical) ? MicroBatchOrder::snake : MicroBatchOrder::ascending);
}

void refuse(const std::string& key, const nlohmann::json& before, const nlohmann::json& now, const std::vector<std::string>& allowed) {
  if (before == now || std::find(allowed.begin(), allowed.end(), key) != allowed.end()) return;
  throw Error(ErrorKind::usage, key + " was " + before.dump() + " when the run was made and is " + now.dump() +
                                    " now, which changes the maths; set it back, or pass --allow-change " + key);
}

}  // namespace

namespace {

std::shared_ptr<const nlohmann::json> data_of(const nlohmann::json& training) {
  const auto found = training.find("data");
  return found == training.end() || found->is_null() ? nullptr : std::make_shared<const nlohmann::json>(*found);
}

// What data.train says of its files, but for what their contents stand for: as many tokens in as many bytes are of one width.
nlohmann::json without_paths(const nlohmann::json& files) {
  nlohmann::json rest = nlohmann::json::array();
  for (nlohmann::json file : files) {
    if (!file.is_object()) file = nlohmann::json::object();
    for (const char* key : {"path", "mask", "dtype"}) file.erase(key);
    rest.push_back(std::move(file));
  }
  return rest;
}

// With the dtype left out that is meant without one.
nlohmann::json without_usual_dtypes(nlohmann::json files) {
  for (nlohmann::json& file : files) {
    if (!file.is_object() || file.value("dtype", "") != word_of(TokenDtype::uint16)) continue;
    file.erase("dtype");
    if (file.size() == 1) file = nlohmann::json(file.at("path"));
  }
  return files;
}

// What data.dtype means for files that say nothing themselves.
nlohmann::json usual_dtype(const nlohmann::json& dtype) { return dtype == word_of(TokenDtype::automatic) ? nlohmann::json(word_of(TokenDtype::uint16)) : dtype; }

void refuse_changed_data(const std::string& difference, const std::vector<std::string>& allowed) {
  if (difference.empty() || std::find(allowed.begin(), allowed.end(), "data.train") != allowed.end()) return;
  throw Error(ErrorKind::usage, "data.train is other data than when the run was made, which changes the maths: " + difference +
                                    "; name what it was, or pass --allow-change data.train to go on with this from where the run stands in it");
}

}  // namespace

nlohmann::json to_json(const RunState& state, const Config& config) {
  // Of what the ranks of a run say, "rank" alone differs.
  return {{"ranks", config.ranks.count}, {"rank", config.ranks.rank}, {"reshardings", state.reshardings}, {"step", state.step}, {"updates", state.updates},   {"loss_scale", state.loss_scale}, {"good_steps", state.good_steps},
          {"data_cursor", state.position.cursor}, {"data_state", state.position.state}, {"compute_threads", state.compute_threads}, {"compute_dtype", state.compute_dtype}, {"elements", state.elements}, {"frozen_parameters", state.frozen_parameters}, {"base", to_json(state.base)}, {"data", state.data ? *state.data : nlohmann::json()}, {"config", nlohmann::json::parse(config.to_json())}};
}

RunState run_state_from(const nlohmann::json& training) {
  try {
    return {training.at("step"), training.at("updates"), training.value("loss_scale", 1.0), training.value("good_steps", std::int64_t{0}), DataPosition{training.at("data_cursor"), training.value("data_state", "")},
            training.at("compute_threads"), training.value("compute_dtype", "fp32"), training.at("elements"), training.value("ranks", 1), training.value("reshardings", std::int64_t{0}), training.value("frozen_parameters", ""), base_from(training),
            data_of(training)};
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::storage, std::string("the manifest does not describe a training run: ") + error.what());
  }
}

nlohmann::json config_from(const nlohmann::json& training) {
  if (!training.contains("config")) throw Error(ErrorKind::storage, "the manifest holds no config");
  return training.at("config");
}

namespace {

// JSON's texts, numbers and lists are TOML as they stand; objects are not.
std::string toml_of(const nlohmann::json& value) {
  if (!value.is_array() && !value.is_object()) return value.dump();
  std::string text;
  for (const auto& [key, inner] : value.items()) {
    text += (text.empty() ? "" : ", ") + (value.is_object() ? nlohmann::json(key).dump() + " = " : std::string()) + toml_of(inner);
  }
  return value.is_array() ? "[" + text + "]" : "{" + text + "}";
}

}  // namespace

Config parse_config(const nlohmann::json& config) {
  // Every leaf is a TOML value as it stands; keys are dotted.
  std::vector<std::string> settings;
  const std::function<void(const std::string&, const nlohmann::json&)> collect = [&](const std::string& name, const nlohmann::json& value) {
    // The rest of [model] has the shape; folders may be gone.
    if (value.is_null() || name == "model.from" || name == "adapter.base" || name == "adapter.from") return;
    if (!value.is_object()) {
      settings.push_back(name + "=" + toml_of(value));
      return;
    }
    for (const auto& [key, inner] : value.items()) collect(name.empty() ? key : name + "." + key, inner);
  };
  collect("", config);
  Config parsed = Config::parse("", ".", settings);
  if (const auto adapter = config.find("adapter"); adapter != config.end()) parsed.adapter.base = adapter->value("base", "");
  return parsed;
}

namespace {

// A config's JSON with the model's shape as it is meant: one config may leave to the family what another spells out.
nlohmann::json spelt_out(nlohmann::json config) {
  const auto found = config.find("model");
  if (found == config.end()) return config;
  nlohmann::json& json = *found;
  ModelConfig model;
  model.family = choice_of<ModelFamily>(json.value("family", "")).value_or(model.family);
  const std::array counts{std::pair("hidden", &ModelConfig::hidden), std::pair("heads", &ModelConfig::heads), std::pair("kv_heads", &ModelConfig::kv_heads),
                          std::pair("head_dim", &ModelConfig::head_dim), std::pair("intermediate", &ModelConfig::intermediate)};
  for (const auto& [key, field] : counts) model.*field = json.value(key, model.*field);
  model = core::spelt_out(model);
  for (const auto& [key, field] : counts) json[key] = model.*field;
  json["qkv_bias"] = model.qkv_bias;
  json["qk_norm"] = model.qk_norm;
  return config;
}

}  // namespace

void refuse_changed_storage(const nlohmann::json& config_before, const Config& config) {
  const nlohmann::json before = spelt_out(config_before);
  const nlohmann::json now = spelt_out(nlohmann::json::parse(config.to_json()));
  const auto check = [&](const std::string& section, const std::string& key) {
    const nlohmann::json old = before.contains(section) && before.at(section).contains(key) ? before.at(section).at(key) : nlohmann::json();
    if (old == now.at(section).at(key)) return;
    throw Error(ErrorKind::usage, section + "." + key + " was " + old.dump() + " when the model was imported and is " + now.at(section).at(key).dump() +
                                      " now, which changes what is stored; set it back, or import again with it");
  };
  for (const auto& [key, value] : now.at("model").items()) {
    const bool stored = key != "context" || config.model.family == ModelFamily::gpt2;  // whose positions are weights
    if (key != "from" && key != "dropout" && stored) check("model", key);
  }
  // An import of a version without adapters has none.
  if (before.contains("adapter") || config.adapter.present()) {
    for (const char* key : {"rank", "alpha", "variant", "targets", "train_whole"}) check("adapter", key);
  }
  check("train", "dtype");
  check("optimizer", "name");
  check("optimizer", "moments");
}

void refuse_changed_compute(const RunState& before, int threads, const std::string& dtype, const std::vector<std::string>& allowed) {
  refuse("train.compute_threads", before.compute_threads, threads, allowed);
  if (before.compute_dtype == dtype || std::find(allowed.begin(), allowed.end(), "train.compute_dtype") != allowed.end()) return;
  throw Error(ErrorKind::usage, "the run was computed in " + before.compute_dtype + ", and this machine would compute in " + dtype + ", which changes the maths; " +
                                    (before.compute_dtype == "fp32" ? "resume with memory.device = \"cpu\" and train.compute_dtype = \"fp32\""
                                     : before.compute_dtype == "fp16" ? "resume on a GPU" : "resume on a CPU with bf16 units, or on a GPU, as it began") +
                                    ", or pass --allow-change train.compute_dtype");
}

void refuse_changed_maths(const nlohmann::json& config_before, const Config& config, const std::optional<std::string>& changed_data, const std::vector<std::string>& allowed) {
  const nlohmann::json before = spelt_out(config_before);
  const nlohmann::json now = spelt_out(nlohmann::json::parse(config.to_json()));
  const Config unset;
  const nlohmann::json defaults = nlohmann::json::parse(unset.to_json());  // what keys meant that the run's version had not
  for (const auto& [section, keys] : now.items()) {
    for (const auto& [key, value] : keys.items()) {
      if (!part_of_maths(section, key)) continue;
      const bool known = before.contains(section) && before.at(section).contains(key);
      nlohmann::json old = known ? before.at(section).at(key) : defaults.at(section).value(key, nlohmann::json());
      const bool by_content = changed_data && section == "data" && key == "train";
      const bool by_path = section == "data" && key == "train" && !by_content;
      if (section == "data" && key == "dtype" && (changed_data || usual_dtype(old) == usual_dtype(value))) continue;
      const auto compared = [&](const nlohmann::json& json) { return by_content ? without_paths(json) : by_path ? without_usual_dtypes(json) : json; };
      refuse(section + "." + key, compared(old), compared(value), allowed);
    }
  }
  if (changed_data) refuse_changed_data(*changed_data, allowed);
  refuse("train.order", effective_order(before), effective_order(now), allowed);
}

}  // namespace gsnake::checkpoint
