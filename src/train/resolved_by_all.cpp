#include "train/resolved_by_all.h"

#include <nlohmann/json.hpp>

#include "checkpoint/run_state.h"
#include "train/group.h"

namespace gsnake::train {

Resolved resolved_by_all(Model& model, const Config& config, const TrainerOptions& options, dist::RankGroup* group) {
  if (group == nullptr || !config.leaves_choices()) return resolve(model, config, options);
  return telling_of_failure(group, [&] {
    Resolved resolved{config, {}};
    if (config.ranks.rank == 0) resolved = resolve(model, config, options);
    const nlohmann::json own = {{"config", nlohmann::json::parse(resolved.config.to_json())}, {"choices", resolved.choices}};
    const nlohmann::json first = nlohmann::json::parse(shared_texts(group, own.dump()).front());
    resolved.config = checkpoint::parse_config(first.at("config"));
    resolved.config.ranks = config.ranks;
    resolved.config.model.from = config.model.from;  // folders that a commit's config does not go by
    resolved.config.adapter.base = config.adapter.base;
    resolved.config.adapter.from = config.adapter.from;
    resolved.choices = first.at("choices").get<std::vector<std::string>>();
    return resolved;
  });
}

}  // namespace gsnake::train
