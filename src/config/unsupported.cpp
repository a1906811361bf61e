#include "config/unsupported.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/keys.h"
#include "greedysnake/error.h"

namespace gsnake::config {

namespace {

struct Unsupported {
  const char* key;
  bool (*asked_for)(const Config&);
  const char* why_and_remedy;
};

constexpr std::array kUnsupported{
    Unsupported{"placement.weights", [](const Config& c) { return c.placement.weights.automatic; },
                "this build has no planner; give fractions, as { device = 0.0, host = 0.0 }"},
    Unsupported{"placement.optimizer", [](const Config& c) { return c.placement.optimizer.automatic; },
                "this build has no planner; give fractions, as { device = 0.0, host = 0.0 }"},
    Unsupported{"placement.activations", [](const Config& c) { return c.placement.activations.automatic; },
                "this build has no planner; give fractions, as { device = 0.0, host = 1.0 }"},
    Unsupported{"placement.gradients", [](const Config& c) { return c.placement.gradients.automatic; },
                "this build has no planner; give a fraction, as { host = 1.0 }"},
    Unsupported{"run.snapshot_every", [](const Config& c) { return c.run.snapshot_every > 0 && c.run.durability != Durability::commit; },
                "a snapshot is a copy of a commit, and run.durability = \"off\" makes none; set it to \"commit\""},
};

// Ranks come from torchrun's environment, not from the config; each would train the whole model by itself.
void refuse_ranks() {
  const char* world_size = std::getenv("WORLD_SIZE");
  if (world_size != nullptr && std::string_view(world_size) != "1" && std::string_view(world_size) != "") {
    throw Error(ErrorKind::usage, fmt::format("WORLD_SIZE = {}: this build trains on one rank only; start one process", world_size));
  }
}

}  // namespace

void refuse_unsupported(const Config& config) {
  for (const auto& feature : kUnsupported) {
    if (!feature.asked_for(config)) continue;
    throw Error(ErrorKind::usage,
                fmt::format("{} = {}: {}", feature.key, to_text(find_key(feature.key)->read(config)), feature.why_and_remedy));
  }
  refuse_ranks();
}

}  // namespace gsnake::config
