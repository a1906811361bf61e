// Places in memory as two types that do not convert into one another: what the host may look at, and what is the device's alone.
#pragma once

#include <cstddef>

namespace gsnake::device {

// In a block of host_alloc(): the host reads and writes it, and copies go to and from it.
class HostPtr {
 public:
  constexpr HostPtr() = default;
  constexpr explicit HostPtr(std::byte* address) : address_(address) {}

  [[nodiscard]] constexpr std::byte* get() const { return address_; }
  template <typename T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(address_);
  }
  [[nodiscard]] constexpr explicit operator bool() const { return address_ != nullptr; }
  [[nodiscard]] constexpr HostPtr operator+(std::size_t bytes) const { return HostPtr(address_ + bytes); }
  constexpr bool operator==(const HostPtr&) const = default;

 private:
  std::byte* address_ = nullptr;
};

// In a block of device_alloc(): arithmetic and copies only. Whoever computes there has a ComputeScope, which gives the address.
class DevicePtr {
 public:
  constexpr DevicePtr() = default;
  constexpr explicit DevicePtr(std::byte* address) : address_(address) {}

  [[nodiscard]] constexpr explicit operator bool() const { return address_ != nullptr; }
  [[nodiscard]] constexpr DevicePtr operator+(std::size_t bytes) const { return DevicePtr(address_ + bytes); }
  constexpr bool operator==(const DevicePtr&) const = default;

 private:
  friend class ComputeScope;
  friend class Stream;
  std::byte* address_ = nullptr;
};

// That its holder runs inside a device's compute guard. Streams make it, for the length of a compute(); it is handed down, and not kept.
class ComputeScope {
 public:
  ComputeScope(const ComputeScope&) = delete;
  ComputeScope& operator=(const ComputeScope&) = delete;

  // As the device's own code addresses it; null for null.
  [[nodiscard]] std::byte* address(DevicePtr place) const { return place.address_; }
  template <typename T>
  [[nodiscard]] T* as(DevicePtr place) const {
    return reinterpret_cast<T*>(place.address_);
  }

 private:
  friend class Stream;
  ComputeScope() = default;
};

}  // namespace gsnake::device
