// The link between the ranks of a run, as its steps are predicted by.
#pragma once

#include <optional>

#include "sim/profile.h"
#include "train/session.h"

namespace gsnake::train {

// Between the ranks of a group, whose collectives are between such devices, by parts of at most `part_bytes`: measured in about half a second, once a group. Every rank calls it
// at once. Throws what collectives do.
sim::LinkProfile measured_link(dist::RankGroup& group, device::Device& device, std::uint64_t part_bytes);

// `profile`, which is what this rank knows of its machine, with what its link to the others does, which is kept for plans of other runs; of a profile from a file that
// says it, as it stands there. Every rank of the session's group calls it, before start(), or none does. Nothing where any of them knows
// nothing; where there is one rank, what was given. Throws what collectives do.
std::optional<sim::MachineProfile> with_link(std::optional<sim::MachineProfile> profile, bool from_file, const Session& session);

}  // namespace gsnake::train
