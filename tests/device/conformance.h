// What every Device must do, for whatever program has one: it links conformance_test.cpp and instantiates DeviceConformance with its subjects.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <ostream>
#include <vector>

#include "device/device.h"

namespace gsnake::device {

using Bytes = std::vector<std::byte>;

struct Subject {
  const char* name;
  std::unique_ptr<Device> (*make)();
  // destination[i] += source[i], at addresses that a ComputeScope gave, inside compute(): there at once, or on the stream that is current.
  void (*add)(std::byte* destination, const std::byte* source, std::size_t bytes);
};
inline void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }

class DeviceConformance : public testing::TestWithParam<Subject> {
 protected:
  Stream& stream(StreamKind kind) { return device_->stream(kind); }
  HostMemory host(std::size_t bytes, int value) {
    HostMemory memory = device_->host_alloc(bytes);
    std::memset(memory.data().get(), value, bytes);
    return memory;
  }
  void finish(StreamKind kind) {
    const auto event = device_->make_event();
    stream(kind).record(*event);
    event->wait();
  }
  Bytes download(const DeviceMemory& memory) {
    const HostMemory copy = device_->host_alloc(memory.bytes());
    stream(StreamKind::d2h).copy(copy.data(), memory.data(), memory.bytes());
    finish(StreamKind::d2h);
    return content(copy);
  }
  void upload(StreamKind kind, const DeviceMemory& to, int value) {
    const HostMemory from = host(to.bytes(), value);
    stream(kind).copy(to.data(), from.data(), to.bytes());
    finish(kind);
  }
  static Bytes filled(std::size_t bytes, int value) { return Bytes(bytes, static_cast<std::byte>(value)); }
  static Bytes content(const HostMemory& memory) { return Bytes(memory.data().get(), memory.data().get() + memory.bytes()); }

  const std::unique_ptr<Device> device_ = GetParam().make();
};

}  // namespace gsnake::device
