// From TOML text and overrides to a Config, and back to JSON.
#include "greedysnake/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string_view>

#include "config/keys.h"
#include "config/load.h"
#include "greedysnake/error.h"
#include "hf/folder.h"
#include "hf/model_config.h"

namespace gsnake {

namespace {

using config::Key;

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::usage, message); }

std::string shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&out](const auto& value) { out << value; });
  return out.str();
}

// "FILE:LINE", or the override itself.
struct Origin {
  std::string name;
  bool has_lines = true;

  [[nodiscard]] std::string of(const toml::source_region& region) const {
    return has_lines ? fmt::format("{}:{}", name, region.begin.line) : name;
  }
};

void assign(Config& config, const Key& key, const toml::node& node, const Origin& origin) {
  if (!key.assign(config, node) || !key.in_range(config)) {
    refuse(fmt::format("{} = {} in {}: must be {}", key.name, shown(node), origin.of(node.source()), key.allowed));
  }
}

void apply_table(Config& config, const std::string& prefix, const toml::table& table, const Origin& origin);

void apply(Config& config, const std::string& name, const toml::node& node, const std::string& where, const Origin& origin) {
  const auto* key = config::find_key(name);
  const bool has_parts = config::is_table(name);
  if (key == nullptr && !has_parts) refuse(fmt::format("unknown key {} in {}{}", name, where, config::suggestion(name)));
  if (key != nullptr) assign(config, *key, node, origin);
  if (!has_parts) return;
  if (const auto* table = node.as_table()) {
    apply_table(config, name + ".", *table, origin);
  } else if (key == nullptr) {
    refuse(fmt::format("{} = {} in {}: it is a table of keys, not a value", name, shown(node), where));
  }
}

void apply_table(Config& config, const std::string& prefix, const toml::table& table, const Origin& origin) {
  for (const auto& [key, node] : table) apply(config, prefix + std::string(key.str()), node, origin.of(key.source()), origin);
}

toml::table parse_toml(const std::string& text, const std::string& name) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    const auto& begin = error.source().begin;
    refuse(fmt::format("{}:{}:{}: not valid TOML: {}", name, begin.line, begin.column, error.description()));
  }
}

// The text as a TOML value; empty when it is none, as bare text.
std::optional<toml::table> as_value(const std::string& text) {
  try {
    auto table = toml::parse("value = " + text);
    return table.size() == 1 ? std::optional(std::move(table)) : std::nullopt;
  } catch (const toml::parse_error&) {
    return std::nullopt;
  }
}

void apply_override(Config& config, const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) refuse(fmt::format("--set {}: write it as KEY=VALUE, such as train.steps=100", text));
  const auto name = text.substr(0, text.find_last_not_of(' ', equals - 1) + 1);
  const auto value = text.substr(equals + 1);
  const Origin origin{"--set " + text, false};
  const toml::value<std::string> bare(value);
  const auto typed = as_value(value);
  const auto* key = config::find_key(name);
  if (typed && key != nullptr) {
    // A file called 2026-01-01 is a date to TOML; where the key takes text, text it is.
    auto trial = config;
    const bool takes_text_only = !key->assign(trial, *typed->get("value")) && key->assign(trial, bare);
    if (takes_text_only) return apply(config, name, bare, origin.name, origin);
  }
  const toml::node& node = typed ? *typed->get("value") : static_cast<const toml::node&>(bare);
  apply(config, name, node, origin.name, origin);
}

void rebase(Config& config, const std::filesystem::path& base) {
  for (const auto& key : config::keys()) {
    if (key.rebase) key.rebase(config, base);
  }
}

struct Sources {
  const toml::table& table;
  const std::string& name;
  const std::filesystem::path& base;
  const std::vector<std::string>& overrides;
};

// A table [adapter] asks for one, whatever it says.
void complete_adapter(Config& config, const Sources& sources) {
  const auto says = [&](std::string_view key) {
    return std::any_of(sources.overrides.begin(), sources.overrides.end(), [&](const std::string& text) { return text.starts_with(key); });
  };
  const bool asked_for = sources.table.contains("adapter") || says("adapter.");
  if (asked_for && !sources.table.at_path("adapter.rank") && !says("adapter.rank")) config.adapter.rank = kUsualAdapterRank;
}

void apply(Config& config, const Sources& sources) {
  apply_table(config, "", sources.table, Origin{sources.name});
  rebase(config, sources.base);
  for (const auto& text : sources.overrides) apply_override(config, text);
  rebase(config, ".");  // what is still relative came with an override
  complete_adapter(config, sources);
  // Theirs whether or not the config says so.
  if (config.model.family == ModelFamily::qwen2) config.model.qkv_bias = true;
  if (config.model.family == ModelFamily::qwen3) config.model.qk_norm = true;
}

// What a run may choose for an imported model: the rest of [model] is the folder's to say.
bool may_differ(const std::string& key, const ModelConfig& model) {
  return key == "model.from" || key == "model.dropout" || (key == "model.context" && model.family != ModelFamily::gpt2);
}

// A folder whose config.json says what the model is; "": there is none.
std::string folder_of_shape(const Config& config) { return config.model.from.empty() ? config.adapter.base : config.model.from; }

void refuse_other_shape(const Config& config, const Config& folder) {
  for (const auto& key : config::keys()) {
    if (!key.name.starts_with("model.") || may_differ(key.name, config.model) || key.read(config) == key.read(folder)) continue;
    refuse(fmt::format("{} = {}: {} of {} says {}; leave it out", key.name, config::to_text(key.read(config)), hf::kConfigName, config.model.from.empty() ? "adapter.base" : "model.from",
                       config::to_text(key.read(folder))));
  }
}

Config from_toml(const std::string& text, const std::string& name, const std::filesystem::path& base,
                 const std::vector<std::string>& overrides, const config::ModelOfRun& model_of_run = {}, const Config& initial = {}) {
  const toml::table table = parse_toml(text, name);
  const Sources sources{table, name, base, overrides};
  Config config = initial;
  apply(config, sources);
  const std::string from = folder_of_shape(config);
  // A base that was moved with its run is found by the run, which knows the shape as well.
  const bool is_gone = config.model.from.empty() && !from.empty() && !hf::is_file((std::filesystem::path(from) / hf::kConfigName).string());
  std::optional<ModelConfig> model;
  if (is_gone && model_of_run && !table.contains("model")) model = model_of_run(config);
  if (is_gone && !model && !table.contains("model")) refuse(fmt::format("adapter.base = {}: there is no base; make one with gsnake quantize, or name where it is", from));
  if (!from.empty() && !is_gone) {
    Config folder = initial;
    folder.model = hf::read_model_config(from);
    folder.model.from.clear();
    config = folder;
    apply(config, sources);
    refuse_other_shape(config, folder);
  } else if (model || (model_of_run && !table.contains("model") && (model = model_of_run(config)))) {
    config = initial;
    config.model = *std::move(model);
    apply(config, sources);
  }
  config.validate();
  return config;
}

std::string read_file(const std::string& path) {
  const auto refuse_to_read = [&](int number) {
    const std::error_code code(number, std::generic_category());
    throw Error(ErrorKind::input, fmt::format("cannot read the config {}: {}; check the path", path, code.message()), code);
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) refuse_to_read(EISDIR);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse_to_read(errno == 0 ? ENOENT : errno);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) refuse_to_read(EIO);
  return text;
}

}  // namespace

Config config::load(const std::string& path, const std::vector<std::string>& overrides, const ModelOfRun& model_of_run, const Config& initial) {
  return from_toml(read_file(path), path, std::filesystem::path(path).parent_path(), overrides, model_of_run, initial);
}

Config Config::load(const std::string& path, const std::vector<std::string>& overrides) {
  return from_toml(read_file(path), path, std::filesystem::path(path).parent_path(), overrides);
}

Config Config::parse(const std::string& toml, const std::string& base_dir, const std::vector<std::string>& overrides) {
  return from_toml(toml, "config", base_dir, overrides);
}

std::string Config::to_json() const {
  config::Json json;
  for (const auto& key : config::keys()) {
    auto value = key.read(*this);
    if (value.is_null()) continue;
    std::string pointer = "/" + key.name;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    json[config::Json::json_pointer(pointer)] = std::move(value);
  }
  return config::to_text(json);
}

}  // namespace gsnake
