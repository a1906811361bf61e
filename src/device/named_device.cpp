#include "device/named_device.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "core/local_rank.h"
#include "device/cuda_plugin.h"
#include "greedysnake/error.h"

namespace gsnake::device {
namespace {

// The number behind "cuda:"; nothing for "cpu".
std::optional<int> cuda_ordinal(const std::string& name) {
  constexpr std::string_view kCuda = "cuda:";
  if (name == "cpu") return std::nullopt;
  int ordinal = -1;
  const char* const end = name.data() + name.size();
  if (name.starts_with(kCuda)) {
    const auto [stopped, error] = std::from_chars(name.data() + kCuda.size(), end, ordinal);
    if (error == std::errc() && stopped == end && ordinal >= 0) return ordinal;
  }
  throw Error(ErrorKind::usage, fmt::format("memory.device = \"{}\": must be \"cpu\" or \"cuda:N\"", name));
}

}  // namespace

std::unique_ptr<Device> make_device(const std::string& name) {
  const std::optional<int> ordinal = cuda_ordinal(name);
  return ordinal ? make_cuda_device(*ordinal, {}) : make_cpu_device();
}

backend::DeviceSupport* make_support(const std::string& name) {
  const std::optional<int> ordinal = cuda_ordinal(name);
  return ordinal ? make_cuda_support(*ordinal) : nullptr;
}

dist::DeviceLink* make_link(const std::string& name, const dist::DeviceLinkParts& parts) {
  const std::optional<int> ordinal = cuda_ordinal(name);
  return ordinal ? make_cuda_link(*ordinal, parts) : nullptr;
}

void require_device(const std::string& name) {
  const std::optional<int> ordinal = cuda_ordinal(name);
  if (ordinal) require_cuda_device(*ordinal);
}

std::string bus_id(const std::string& name) {
  const std::optional<int> ordinal = cuda_ordinal(name);
  if (!ordinal) return {};
  const CudaProbe probe = probe_cuda();
  return static_cast<std::size_t>(*ordinal) < probe.devices.size() ? probe.devices[static_cast<std::size_t>(*ordinal)].pci_bus_id : "";
}

std::string device_of_rank(const std::string& name, int local_rank) { return core::with_local_rank(name, local_rank); }

std::uint64_t free_device_bytes(const std::string& name) {
  const std::optional<int> ordinal = cuda_ordinal(name);
  if (!ordinal) return 0;
  const CudaProbe probe = probe_cuda(FreeMemory::of(*ordinal));
  return static_cast<std::size_t>(*ordinal) < probe.devices.size() ? probe.devices[static_cast<std::size_t>(*ordinal)].free_bytes : 0;
}

}  // namespace gsnake::device
