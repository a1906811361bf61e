#include "memory/anonymous.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <system_error>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::memory {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

std::byte* map_pages(std::size_t bytes) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return address == MAP_FAILED ? nullptr : static_cast<std::byte*>(address);
}

// The kernel aligns to pages only: maps more and gives both ends back.
std::byte* map_aligned(std::size_t bytes) {
  std::byte* whole = map_pages(bytes + kHugePageBytes);
  if (whole == nullptr) return nullptr;
  const std::size_t head = (kHugePageBytes - reinterpret_cast<std::uintptr_t>(whole) % kHugePageBytes) % kHugePageBytes;
  if (head > 0) ::munmap(whole, head);
  if (head < kHugePageBytes) ::munmap(whole + head + bytes, kHugePageBytes - head);
  return whole + head;
}

}  // namespace

AnonymousMemory::AnonymousMemory(std::size_t bytes) {
  if (bytes == 0) return;
  const bool huge = bytes >= kHugePageBytes;
  const bool countable = bytes <= std::numeric_limits<std::size_t>::max() - 2 * kHugePageBytes;
  errno = ENOMEM;
  if (countable) {
    const std::size_t mapped_bytes = core::round_up(bytes, page_bytes());
    data_ = huge ? map_aligned(mapped_bytes) : map_pages(mapped_bytes);
  }
  if (data_ == nullptr) {
    const std::error_code code(errno, std::generic_category());
    throw Error(
        ErrorKind::budget,
        fmt::format(
            "can't map {} of memory: {}; lower memory.host_budget or memory.device_budget, or raise this process's limit (ulimit -v)",
            core::format_bytes(bytes), code.message()),
        code);
  }
  bytes_ = bytes;
  // Advice only: a kernel without transparent huge pages answers EINVAL and serves small ones.
  if (huge) ::madvise(data_, bytes, MADV_HUGEPAGE);
}

AnonymousMemory::~AnonymousMemory() {
  if (data_ != nullptr) ::munmap(data_, core::round_up(bytes_, page_bytes()));
}

}  // namespace gsnake::memory
