#include "config/unsupported.h"

#include <fmt/format.h>

#include <array>
#include <string>

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
    Unsupported{"train.compute_dtype", [](const Config& c) { return c.memory.device != "cpu" && c.train.compute_dtype == ComputeDtype::fp32 && c.train.dtype != Dtype::fp32; },
                "it is the CPU device that widens; on a GPU units compute in train.dtype: leave it at \"auto\", or set train.dtype = \"fp32\""},
    Unsupported{"train.dtype", [](const Config& c) { return c.memory.device != "cpu" && !c.adapter.base.empty() && c.train.dtype == Dtype::fp16; },
                "on a GPU the packed weights of adapter.base become bf16 or fp32; set train.dtype = \"bf16\""},
    Unsupported{"run.snapshot_every", [](const Config& c) { return c.run.snapshot_every > 0 && c.run.durability != Durability::commit; },
                "a snapshot is a copy of a commit, and run.durability = \"off\" makes none; set it to \"commit\""},
};

}  // namespace

void refuse_unsupported(const Config& config) {
  for (const auto& feature : kUnsupported) {
    if (!feature.asked_for(config)) continue;
    throw Error(ErrorKind::usage,
                fmt::format("{} = {}: {}", feature.key, to_text(find_key(feature.key)->read(config)), feature.why_and_remedy));
  }
}

}  // namespace gsnake::config
