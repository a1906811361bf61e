#include <fmt/format.h>

#include "core/bytes.h"
#include "core/memory_node.h"
#include "device/cuda_lack.h"
#include "doctor/checks.h"

namespace gsnake::doctor {
namespace {

using device::CudaDeviceInfo;
using device::CudaProbe;

Finding lacking(const char* id, const device::CudaLack& lack) { return {id, Status::lack, lack.cause, lack.remedy}; }

Finding driver_of(const CudaProbe& probe) {
  if (probe.driver_version == 0) return lacking("driver", device::no_driver());
  return {"driver", Status::ok, fmt::format("NVIDIA, for CUDA {}", device::cuda_version_text(probe.driver_version)), {}, {{"version", probe.driver_version}}};
}

Finding plugin_of(const CudaProbe& probe) {
  if (probe.plugin.empty()) return lacking("plugin", probe.plugin_lack);
  return {"plugin", Status::ok, fmt::format("{}, of CUDA {}", probe.plugin, device::cuda_version_text(probe.runtime_version)), {}, {{"version", probe.runtime_version}}};
}

Finding describe(std::size_t ordinal, const CudaDeviceInfo& info, const core::NearNode& near) {
  using core::format_bytes;
  Finding finding{fmt::format("cuda:{}", ordinal), Status::ok, fmt::format("{}, compute capability {}.{}, {}", info.name, info.major, info.minor, format_bytes(info.memory_bytes))};
  if (info.free_bytes > 0) finding.seen += fmt::format(", {} free", format_bytes(info.free_bytes));
  if (info.unified_memory) finding.seen += ", which is the host's own memory";
  if (info.coherent && !info.unified_memory) finding.seen += ", beside which it reads the host's in place";
  finding.seen += fmt::format("; PCI {}", info.pci_bus_id);
  if (info.numa_node >= 0) finding.seen += fmt::format(" at memory node {}", info.numa_node);
  if (near.number >= 0) finding.seen += ", where its host memory and threads are kept";
  if (!near.reason.empty()) finding.seen += fmt::format("; its host memory is spread over all memory nodes: {}", near.reason);
  finding.detail = {{"name", info.name},
                    {"compute_capability", fmt::format("{}.{}", info.major, info.minor)},
                    {"memory_bytes", info.memory_bytes},
                    {"free_bytes", info.free_bytes},
                    {"unified_memory", info.unified_memory},
                    {"coherent", info.coherent},
                    {"pci_bus_id", info.pci_bus_id},
                    {"numa_node", info.numa_node},
                    {"host_memory_node", near.number}};
  if (device::is_too_old(info)) {
    const device::CudaLack lack = device::gpu_too_old(static_cast<int>(ordinal), info.name, info.major, info.minor);
    finding.status = Status::lack;
    finding.seen = lack.cause;
    finding.remedy = lack.remedy;
  }
  return finding;
}

// Whether there is a GPU to train on.
Finding use_of(const CudaProbe& probe) {
  if (!probe.lack.cause.empty()) return lacking("cuda", probe.lack);
  std::string usable;
  for (std::size_t i = 0; i < probe.devices.size(); ++i) {
    if (!device::is_too_old(probe.devices[i])) usable += fmt::format("{}\"cuda:{}\"", usable.empty() ? "" : " or ", i);
  }
  if (!usable.empty()) return {"cuda", Status::ok, "memory.device can be " + usable};
  const CudaDeviceInfo& first = probe.devices.front();
  return lacking("cuda", device::gpu_too_old(0, first.name, first.major, first.minor));
}

}  // namespace

Findings examine_cuda(const CudaProbe& probe, const core::Topology& machine) {
  Findings findings{driver_of(probe), plugin_of(probe), use_of(probe)};
  for (std::size_t i = 0; i < probe.devices.size(); ++i) findings.push_back(describe(i, probe.devices[i], core::near_node(machine, probe.devices[i].numa_node)));
  return findings;
}

}  // namespace gsnake::doctor
