#include "train/alike.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "greedysnake/error.h"
#include "train/group.h"

namespace gsnake::train {
namespace {

using Json = nlohmann::ordered_json;

// What is a rank's own affair: keys of sections that else must be alike.
constexpr std::array kOwn{"model.from", "adapter.base", "adapter.from", "train.compute_threads", "train.pin_threads"};
constexpr std::array kAlikeOfRun{"commit_every", "durability", "snapshot_every", "snapshot_keep"};

Json must_be_alike(const Config& config, const TrainerOptions& options) {
  const Json all = Json::parse(config.to_json());
  Json alike;
  for (const char* section : {"model", "train", "optimizer", "adapter"}) alike[section] = all.value(section, Json::object());
  for (const std::string key : kOwn) alike[key.substr(0, key.find('.'))].erase(key.substr(key.find('.') + 1));
  for (const char* key : kAlikeOfRun) alike["run"][key] = all.at("run").at(key);
  alike["data"] = options.data.empty() ? all.value("data", Json::object()) : Json::parse(options.data);
  alike["call"] = {{"--resume", word_of(options.resume)},
                   {"--overwrite", options.overwrite},
                   {"--resume-from", options.from_step ? Json(*options.from_step) : Json()},
                   {"--allow-change", options.allow_change}};
  return alike;
}

// "train.seed: 1 and 2": the first leaf that differs; nothing where all are alike.
std::optional<std::string> difference(const Json& a, const Json& b, const std::string& name) {
  if (a == b) return std::nullopt;
  if (!a.is_object() || !b.is_object()) return fmt::format("{}: {} and {}", name, a.dump(), b.dump());
  for (const auto& [key, value] : a.items()) {
    const std::string inner = name.empty() || name == "call" ? key : name + "." + key;
    if (auto found = difference(value, b.contains(key) ? b.at(key) : Json(), inner)) return found;
  }
  return name;
}

}  // namespace

void refuse_different_ranks(dist::RankGroup* group, const Config& config, const TrainerOptions& options) {
  if (group == nullptr) return;
  const std::vector<std::string> said = shared_texts(group, must_be_alike(config, options).dump());
  const Json first = Json::parse(said.front());
  for (std::size_t rank = 1; rank < said.size(); ++rank) {
    const auto differs = difference(first, Json::parse(said[rank]), "");
    if (differs) throw Error(ErrorKind::usage, fmt::format("ranks 0 and {} are told different things, {}; start all of them with the same config and data", rank, *differs));
  }
}

}  // namespace gsnake::train
