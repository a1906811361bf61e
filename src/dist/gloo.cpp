#include "dist/gloo.h"

#define USE_C10D_GLOO 1  // LibTorch has it; its header asks

#include <c10/util/Logging.h>
#include <fmt/format.h>

#include <cstdlib>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace gsnake::dist {
namespace {

using Devices = std::vector<std::shared_ptr<::gloo::transport::Device>>;

Devices make_devices(const MeetingPlace& place) {
  Devices devices;
  for (const std::string& name : chosen_interfaces()) devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(name));
  if (devices.empty()) devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address_towards(place)));
  return devices;
}

// c10d logs a backtrace for each connection that closes; what that means is said elsewhere. Warnings are kept where somebody asks for them.
void quieten_c10d() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = std::max(FLAGS_caffe2_log_level, static_cast<int>(c10::GLOG_ERROR));
}

std::string group_key(int group) { return fmt::format("group-{}", group); }

}  // namespace

// Its key for the first of a group's devices.
std::string address_key(int group, int rank) { return fmt::format("{}/0/{}", group_key(group), rank); }

c10::intrusive_ptr<c10d::Store> open_store(const MeetingPlace& place, bool keeps_it, std::chrono::milliseconds timeout) {
  quieten_c10d();
  c10d::TCPStoreOptions options;
  options.port = place.port;
  options.isServer = keeps_it;
  options.waitWorkers = false;
  options.timeout = timeout;
  return c10::make_intrusive<c10d::PrefixStore>(place.prefix, c10::make_intrusive<c10d::TCPStore>(place.host, options));
}

std::vector<c10::intrusive_ptr<c10d::Backend>> make_gloo_groups(const MeetingPlace& place, const c10::intrusive_ptr<c10d::Store>& store, int rank, int count, int groups,
                                                                std::chrono::milliseconds timeout) {
  const Devices devices = make_devices(place);  // with a thread for each, which all groups share
  std::vector<c10::intrusive_ptr<c10d::Backend>> made;
  for (int i = 0; i < groups; ++i) {
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices = devices;
    options->threads = 0;  // they serve c10d's collectives
    made.push_back(c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>(group_key(i), store), rank, count, options));
  }
  return made;
}

}  // namespace gsnake::dist
