#include "memory/anonymous.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>

#include "core/bytes.h"
#include "core/errors.h"
#include "core/free_memory.h"
#include "core/log.h"
#include "core/topology.h"

namespace gsnake::memory {
namespace {

// Below it no huge page fits.
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

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

// Null and errno where the kernel refuses. Scattered small pages cost a drive most of its speed, as it takes few segments a request: hence
// the room to start on a huge page's boundary.
std::byte* map(std::size_t length) noexcept {
  const std::size_t room = length >= kHugePageBytes ? kHugePageBytes : 0;
  void* address = ::mmap(nullptr, length + room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(address);
  if (room == 0) return begin;
  begin = trim(begin, length, room);
  // Advice only: a kernel without transparent huge pages answers EINVAL and serves small ones.
  static_cast<void>(::madvise(begin, length, MADV_HUGEPAGE));
  return begin;
}

// Told once a process: what is true of one block is of the others.
void tell_of_other_nodes(std::size_t bytes, int node, const std::string& why) {
  static std::atomic_flag told;
  spdlog::log(told.test_and_set() ? spdlog::level::debug : spdlog::level::warn, "{} of memory are not kept on memory node {}: {}; they are spread over all nodes",
              core::format_bytes(bytes), node, why);
}

// On the node that is asked for. False, with a line in the log, where it has too little or the kernel refuses.
bool keep_on_node(std::byte* data, std::size_t bytes, int node) {
  if (!fits_on_node(bytes, node)) {
    tell_of_other_nodes(bytes, node, fmt::format("{} are free there", core::format_bytes(core::free_node_bytes(static_cast<unsigned>(node)))));
    return false;
  }
  const std::error_code refused = core::Topology::machine().bind(data, bytes, static_cast<unsigned>(node));
  if (refused) tell_of_other_nodes(bytes, node, refused.message() + " (a container lets its processes choose with CAP_SYS_NICE)");
  return !refused;
}

[[noreturn]] void refuse(std::size_t bytes, std::string_view tier, std::error_code why) {
  const std::string budget = tier.empty() ? "memory.host_budget or memory.device_budget" : fmt::format("memory.{}_budget", tier);
  throw Error(ErrorKind::budget,
              fmt::format("cannot allocate {} of {}{}memory: {}; lower {}, or raise this process's limit (ulimit -v)", core::format_bytes(bytes), tier,
                          tier.empty() ? "" : " ", why.message(), budget),
              why);
}

}  // namespace

AnonymousMemory::AnonymousMemory(std::size_t bytes, const PageOptions& options) {
  if (bytes == 0) return;
  const bool countable = bytes <= std::numeric_limits<std::size_t>::max() - 2 * kHugePageBytes;
  const std::size_t length = countable ? core::round_up(bytes, page_bytes()) : 0;
  errno = ENOMEM;
  data_ = countable ? map(length) : nullptr;
  if (data_ == nullptr) refuse(bytes, options.tier, core::errno_code());
  bytes_ = bytes;
  if (!options.resident) return;
  if (options.node < 0 || !keep_on_node(data_, length, options.node)) core::Topology::machine().interleave(data_, length);
  for (std::size_t offset = 0; offset < length; offset += page_bytes()) *reinterpret_cast<volatile std::byte*>(data_ + offset) = std::byte{0};
}

bool fits_on_node(std::size_t bytes, int node) {
  const std::uint64_t free = core::free_node_bytes(static_cast<unsigned>(node));
  return free == 0 || bytes <= free;
}

void AnonymousMemory::give_back(std::byte* data, std::size_t bytes) noexcept {
  if (data != nullptr) unmap(data, core::round_up(bytes, page_bytes()));
}

}  // namespace gsnake::memory
