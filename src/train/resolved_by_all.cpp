#include "train/resolved_by_all.h"

#include <nlohmann/json.hpp>

#include "checkpoint/run_state.h"
#include "train/group.h"
#include "train/measured_link.h"
#include "train/parts.h"
#include "train/rank_devices.h"

namespace gsnake::train {
namespace {

// Before anything is planned there is no session, and nobody knows what will be moved.
sim::LinkProfile link_to_plan_by(dist::RankGroup& group, const Config& config, const TrainerOptions& options) {
  constexpr std::uint64_t kPart = 4ULL << 20;
  const ComputeDevice opened = options.parts ? options.parts->make_device(config) : open_device(config);
  return measured_link(group, *opened.device, kPart);
}

}  // namespace

Resolved resolved_by_all(Model& model, const Config& given, const TrainerOptions& options, dist::RankGroup* group) {
  const Config config = with_own_device(given);
  telling_of_failure(group, [&] { join_devices(group, config); });
  if (group == nullptr || !config.leaves_choices()) return resolve(model, config, options);
  return telling_of_failure(group, [&] {
    Resolved resolved{config, {}};
    const sim::LinkProfile link = link_to_plan_by(*group, config, options);
    if (config.ranks.rank == 0) resolved = resolve(model, config, options, &link);
    const nlohmann::json own = {{"config", nlohmann::json::parse(resolved.config.to_json())}, {"choices", resolved.choices}};
    const nlohmann::json first = nlohmann::json::parse(shared_texts(group, own.dump()).front());
    resolved.config = checkpoint::parse_config(first.at("config"));
    resolved.config.ranks = config.ranks;
    resolved.config.memory.device = config.memory.device;
    resolved.config.model.from = config.model.from;  // folders that a commit's config does not go by
    resolved.config.adapter.base = config.adapter.base;
    resolved.config.adapter.from = config.adapter.from;
    resolved.choices = first.at("choices").get<std::vector<std::string>>();
    return resolved;
  });
}

}  // namespace gsnake::train
