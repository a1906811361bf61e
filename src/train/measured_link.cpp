#include "train/measured_link.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/log.h"
#include "measure/link.h"
#include "train/group.h"
#include "train/known_machine.h"

namespace gsnake::train {
namespace {

// Of all that is gathered or added up.
std::uint64_t largest_part(const schedule::Problem& problem) {
  std::uint64_t bytes = plan::largest_gradient_part(problem);
  for (const schedule::Object& object : problem.objects) bytes = std::max(bytes, schedule::part_cells(object, problem.ranks) * object.cell_bytes());
  return bytes;
}

}  // namespace

sim::LinkProfile measured_link(dist::RankGroup& group, device::Device& device, std::uint64_t part_bytes) {
  if (group.known_link() == nullptr) {
    group.reserve(part_bytes);
    group.know_link(std::make_shared<const sim::LinkProfile>(measure::measure_link(group.collective(), device, part_bytes)));
  }
  return *group.known_link();
}

std::optional<sim::MachineProfile> with_link(std::optional<sim::MachineProfile> profile, bool from_file, const Session& session) {
  dist::RankGroup* const group = session.group.get();
  if (group == nullptr) return profile;
  if (any_says(group, !profile)) return std::nullopt;
  if (!any_says(group, !from_file || profile->link.per_second <= 0.0)) return profile;
  const double bus = profile->link.bus;
  profile->link = measured_link(*group, *session.device, largest_part(session.problem));
  profile->link.bus = bus;
  spdlog::info("the link between ranks: {}/s each way, {:.0f} us a call", core::format_bytes(static_cast<std::uint64_t>(profile->link.per_second)), 1e6 * profile->link.latency);
  if (!from_file) keep_link(session.config, profile->link);
  return profile;
}

}  // namespace gsnake::train
