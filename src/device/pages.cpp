#include "device/pages.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdint>

#include "core/bytes.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/topology.h"

namespace gsnake::device {
namespace {

// Below it no huge page fits.
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
constexpr std::size_t kPageBytes = 4096;

// Fails when the process has as many mappings as it may and the kernel had merged this one with its neighbours.
void unmap(std::byte* data, std::size_t bytes) noexcept {
  if (::munmap(data, bytes) != 0) {
    spdlog::warn("cannot give back {} of memory: {}", core::format_bytes(bytes), core::errno_code().message());
  }
}

// Gives back what lies before the first multiple of `room` and behind `length` bytes from there.
std::byte* trim(std::byte* data, std::size_t length, std::size_t room) noexcept {
  const std::size_t before = core::round_up(reinterpret_cast<std::uintptr_t>(data), room) - reinterpret_cast<std::uintptr_t>(data);
  if (before > 0) unmap(data, before);
  if (room > before) unmap(data + before + length, room - before);
  return data + before;
}

}  // namespace

template <typename Pointer>
Memory<Pointer> map_pages(std::size_t bytes, std::string_view tier) {
  if (bytes == 0) return {};
  const std::size_t length = core::round_up(bytes, kPageBytes);
  // Room to start on a huge page's boundary: a drive takes few segments a request, and scattered small pages cost most of its speed.
  const std::size_t room = length >= kHugePageBytes ? kHugePageBytes : 0;
  void* address = ::mmap(nullptr, length + room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    const std::error_code code = core::errno_code();
    throw Error(ErrorKind::budget,
                fmt::format("cannot allocate {} of {} memory: {}; lower memory.{}_budget, or raise this process's limit (ulimit -v)",
                            core::format_bytes(bytes), tier, code.message(), tier),
                code);
  }
  auto* begin = static_cast<std::byte*>(address);
  if (room > 0) begin = trim(begin, length, room);
  // Advice only: a kernel without transparent huge pages answers EINVAL and serves small ones.
  if (room > 0) static_cast<void>(::madvise(begin, length, MADV_HUGEPAGE));
  core::Topology::machine().interleave(begin, length);
  // Touched now, so that no step stops for a page fault and what is resident is known from the start.
  for (std::size_t offset = 0; offset < length; offset += kPageBytes) *reinterpret_cast<volatile std::byte*>(begin + offset) = std::byte{0};
  return {Pointer(begin), bytes, [begin, bytes] { unmap(begin, bytes); }};
}

template HostMemory map_pages<HostPtr>(std::size_t bytes, std::string_view tier);
template DeviceMemory map_pages<DevicePtr>(std::size_t bytes, std::string_view tier);

}  // namespace gsnake::device
