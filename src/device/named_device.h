// Devices by the names that a config gives them.
#pragma once

#include <memory>
#include <string>

#include "device/device.h"

namespace gsnake::backend {
class DeviceSupport;  // src/torch/device_support.h
}
namespace gsnake::dist {
class DeviceLink;  // src/dist/device_link.h
struct DeviceLinkParts;
}  // namespace gsnake::dist

namespace gsnake::device {

// "cpu", or "cuda:N". Throws Error(usage) where there is no such device, with the cause and the remedy. Nothing of CUDA is opened for "cpu".
std::unique_ptr<Device> make_device(const std::string& name);

// LibTorch's side of it, the caller's to delete; null for "cpu". Throws likewise.
backend::DeviceSupport* make_support(const std::string& name);
// Between its memory and that of the other ranks' devices, the caller's to delete; null for "cpu". Throws likewise.
dist::DeviceLink* make_link(const std::string& name, const dist::DeviceLinkParts& parts);

// Of a "cuda:N"'s memory, as it is now; 0 where that can't be measured.
std::uint64_t free_device_bytes(const std::string& name);
// Where a "cuda:N" is in its machine, "0000:65:00.0", whatever number this process knows it by; "" for "cpu", and where it is not known.
std::string bus_id(const std::string& name);

// What `name` is to one of the ranks of a machine: "{local_rank}" in it stands for that number.
std::string device_of_rank(const std::string& name, int local_rank);

// Throws as make_device() does, and makes none: for a look before any work.
void require_device(const std::string& name);

}  // namespace gsnake::device
