#include "train/resolved_by_all.h"

#include <nlohmann/json.hpp>

#include "checkpoint/run_state.h"
#include "device/device.h"
#include "measure/link.h"
#include "train/group.h"

namespace gsnake::train {
namespace {

// Before anything is planned there is neither a device nor a session: the host's memory stands for them, as Gloo has it anyway.
sim::LinkProfile measured_link(dist::RankGroup& group) {
  constexpr std::uint64_t kPart = 4ULL << 20;
  const std::unique_ptr<device::Device> device = device::make_cpu_device();
  group.reserve(kPart);
  return measure::measure_link(group.collective(), *device, kPart);
}

}  // namespace

Resolved resolved_by_all(Model& model, const Config& config, const TrainerOptions& options, dist::RankGroup* group) {
  if (group == nullptr || !config.leaves_choices()) return resolve(model, config, options);
  return telling_of_failure(group, [&] {
    Resolved resolved{config, {}};
    const sim::LinkProfile link = measured_link(*group);
    if (config.ranks.rank == 0) resolved = resolve(model, config, options, &link);
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
