#include "device/cuda_plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "device/cuda_plugin_file.h"
#include "greedysnake/error.h"

namespace gsnake::device {
namespace {

// Asked of the driver's own library, for where there is no plug-in to ask. 0: there is none.
int driver_version() {
  void* const driver = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return 0;
  int version = 0;
  const auto ask = reinterpret_cast<int (*)(int*)>(::dlsym(driver, "cuDriverGetVersion"));
  if (ask == nullptr || ask(&version) != 0) version = 0;
  ::dlclose(driver);
  return version;
}

// Without a driver there is nothing that a plug-in could open, so that comes first.
CudaProbe probe_without_plugin(const CudaLack& lack) {
  CudaProbe probe;
  probe.plugin_lack = lack;
  probe.driver_version = driver_version();
  probe.lack = probe.driver_version != 0 ? lack : CudaLack{no_driver().cause + "; besides, " + lack.cause, no_driver().remedy};
  return probe;
}

[[noreturn]] void refuse(int ordinal, const CudaLack& lack) {
  throw Error(ErrorKind::usage, fmt::format("memory.device = \"cuda:{}\": {}; {}, or set memory.device = \"cpu\"", ordinal, lack.cause, lack.remedy));
}

}  // namespace

bool is_too_old(const CudaDeviceInfo& info) noexcept { return 10 * info.major + info.minor < kLeastCapability; }

CudaProbe probe_cuda(FreeMemory free_memory) {
  const CudaPluginFile& plugin = cuda_plugin();
  if (plugin.table == nullptr) return probe_without_plugin(plugin.lack);
  CudaProbe probe = plugin.table->probe(free_memory);
  probe.plugin = plugin.path;
  if (probe.lack.cause.empty() && plugin.table->make_device == nullptr) probe.lack = plugin_without_device();
  return probe;
}

void require_cuda_device(int ordinal) {
  const CudaProbe probe = probe_cuda();
  const int devices = static_cast<int>(probe.devices.size());
  if (devices > 0 && (ordinal < 0 || ordinal >= devices)) refuse(ordinal, no_such_device(ordinal, devices));
  if (!probe.lack.cause.empty()) refuse(ordinal, probe.lack);
  const CudaDeviceInfo& info = probe.devices[static_cast<std::size_t>(ordinal)];
  if (is_too_old(info)) refuse(ordinal, gpu_too_old(ordinal, info.name, info.major, info.minor));
}

std::unique_ptr<Device> make_cuda_device(int ordinal, const CudaDeviceOptions& options) {
  require_cuda_device(ordinal);
  return cuda_plugin().table->make_device(ordinal, options);
}

backend::DeviceSupport* make_cuda_support(int ordinal) {
  require_cuda_device(ordinal);
  return cuda_plugin().table->make_support(ordinal);
}

dist::DeviceLink* make_cuda_link(int ordinal, const dist::DeviceLinkParts& parts) {
  require_cuda_device(ordinal);
  return cuda_plugin().table->make_link(ordinal, parts);
}

}  // namespace gsnake::device
