#include "hf/adapter_config.h"

#include <filesystem>

#include "greedysnake/error.h"
#include "hf/folder.h"
#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

void require(bool holds, const std::string& key, const std::string& value, const std::string& path, const std::string& there) {
  if (holds) return;
  throw Error(ErrorKind::usage, fmt::format("adapter.{} = {}: {} of adapter.from says {}; make them equal", key, value, path, there));
}

}  // namespace

Json make_adapter_config(const AdapterConfig& adapter, const std::string& base, const std::vector<std::string>& targets, bool transposed, bool tied) {
  Json json;
  json["peft_type"] = "LORA";
  json["task_type"] = "CAUSAL_LM";
  json["base_model_name_or_path"] = base.empty() ? Json() : Json(base);
  json["inference_mode"] = true;
  json["r"] = adapter.rank;
  json["lora_alpha"] = adapter.alpha;
  json["lora_dropout"] = adapter.dropout;
  json["target_modules"] = targets;
  json["modules_to_save"] = adapter.train_whole.empty() ? Json() : Json(adapter.train_whole);
  if (tied) json["ensure_weight_tying"] = true;
  json["use_rslora"] = adapter.variant == AdapterVariant::rslora;
  json["use_dora"] = adapter.variant == AdapterVariant::dora;
  json["fan_in_fan_out"] = transposed;
  json["bias"] = "none";
  json["init_lora_weights"] = true;
  return json;
}

void refuse_other_adapter(const std::string& folder, const AdapterConfig& adapter) {
  const std::string path = (std::filesystem::path(folder) / kAdapterConfigName).string();
  if (!is_file(path)) refuse(folder, fmt::format("{}{}; name a folder that PEFT or `gsnake export` wrote", kAdapterConfigName, absence(path)));
  const Json json = parse_object(path, read_text(path, kMostConfigBytes));
  const auto value = [&](const char* key, const Json& absent) { return json.contains(key) && !json.at(key).is_null() ? json.at(key) : absent; };
  if (value("peft_type", "LORA") != "LORA") refuse(path, fmt::format("its peft_type is {}; LORA can be read", json.at("peft_type").dump()));
  const auto number = [&](const char* key, double absent) {
    const Json found = value(key, absent);
    if (!found.is_number()) refuse(path, fmt::format("its {} is no number", key));
    return found.get<double>();
  };
  const auto flag = [&](const char* key) {
    const Json found = value(key, false);
    if (!found.is_boolean()) refuse(path, fmt::format("its {} is neither true nor false", key));
    return found.get<bool>();
  };
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    if (const Json found = value(key, Json::object()); !found.empty()) refuse(path, fmt::format("its {} gives modules ranks of their own, which this build does not have", key));
  }
  // Those that change the base as they begin.
  if (const Json start = value("init_lora_weights", true); !start.is_boolean() && start != "gaussian") refuse(path, fmt::format("its init_lora_weights is {}, which changed the base as well", start.dump()));
  if (flag("lora_bias")) refuse(path, "its adapters have biases (lora_bias), which this build's have not");
  if (value("bias", "none") != "none") refuse(path, "it trains biases (bias), which this build does not");
  require(number("r", 8) == static_cast<double>(adapter.rank), "rank", fmt::format("{}", adapter.rank), path, fmt::format("{}", number("r", 8)));
  require(number("lora_alpha", 8) == adapter.alpha, "alpha", fmt::format("{}", adapter.alpha), path, fmt::format("{}", number("lora_alpha", 8)));
  const AdapterVariant variant = flag("use_dora") ? AdapterVariant::dora : flag("use_rslora") ? AdapterVariant::rslora : AdapterVariant::lora;
  require(variant == adapter.variant, "variant", word_of(adapter.variant), path, word_of(variant));
}

}  // namespace gsnake::hf
