#include "train/rank_devices.h"

#include <fmt/format.h>

#include <fstream>
#include <string>
#include <vector>

#include "device/named_device.h"
#include "dist/device_link.h"
#include "greedysnake/error.h"
#include "plan/numerics.h"
#include "plan/problem.h"
#include "train/group.h"

namespace gsnake::train {
namespace {

constexpr const char* kCpu = "cpu";
constexpr const char* kUnknown = "";

// The same for two processes of one machine, in containers too.
std::string machine() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

// The same for two ranks that compute on the same GPU.
std::string identity_of(const std::string& device) {
  if (device == kCpu) return kCpu;
  const std::string bus = device::bus_id(device);
  return bus.empty() ? kUnknown : machine() + " " + bus;
}

void refuse_shared_devices(const std::vector<std::string>& identities, const std::string& device) {
  for (std::size_t rank = 1; rank < identities.size(); ++rank) {
    if ((identities[rank] == kCpu) != (identities[0] == kCpu)) {
      throw Error(ErrorKind::usage, fmt::format("memory.device: ranks 0 and {} compute one on a GPU and one on a CPU; set it to the same kind for all of them", rank));
    }
    for (std::size_t other = 0; other < rank; ++other) {
      if (identities[other] != identities[rank] || identities[rank] == kCpu || identities[rank] == kUnknown) continue;
      throw Error(ErrorKind::usage, fmt::format("memory.device = \"{}\": ranks {} and {} would share the GPU at {}; write memory.device = \"cuda:{{local_rank}}\", which gives each rank of a machine one of its own",
                                                device, other, rank, identities[rank].substr(identities[rank].find(' ') + 1)));
    }
  }
}

}  // namespace

Config with_own_device(Config config) {
  config.memory.device = device::device_of_rank(config.memory.device, config.ranks.local_rank);
  return config;
}

void join_devices(dist::RankGroup* group, const Config& config) {
  if (group == nullptr) return;
  const std::string& name = config.memory.device;
  device::require_device(name);
  refuse_shared_devices(shared_texts(group, identity_of(name)), name);
  if (name == kCpu) return;
  group->use_device([&name](const dist::DeviceLinkParts& parts) { return std::unique_ptr<dist::DeviceLink>(device::make_link(name, parts)); });
}

plan::RankBuffers rank_buffers(const Config& config, const plan::ModelLayout& layout, bool on_devices) {
  if (config.ranks.count == 1) return {};
  const std::uint64_t part = plan::largest_gradient_part(plan::make_problem(config, plan::numerics_of(config), layout, plan::Purpose::train));
  const std::uint64_t bytes = dist::RankGroup::scratch_bytes(config.ranks.count, part, on_devices);
  return on_devices ? plan::RankBuffers{0, bytes} : plan::RankBuffers{bytes, 0};
}

}  // namespace gsnake::train
