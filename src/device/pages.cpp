#include "device/pages.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include "core/bytes.h"
#include "core/errors.h"
#include "core/log.h"

namespace gsnake::device {
namespace {

// Below it no huge page fits.
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Fails when the process has as many mappings as it may and the kernel had merged this one with its neighbours.
void unmap(std::byte* data, std::size_t bytes) noexcept {
  if (::munmap(data, bytes) != 0) {
    spdlog::warn("cannot give back {} of memory: {}", core::format_bytes(bytes), core::errno_code().message());
  }
}

}  // namespace

Memory map_pages(std::size_t bytes, std::string_view tier) {
  if (bytes == 0) return {};
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    const std::error_code code = core::errno_code();
    throw Error(ErrorKind::budget,
                fmt::format("cannot allocate {} of {} memory: {}; lower memory.{}_budget, or raise this process's limit (ulimit -v)",
                            core::format_bytes(bytes), tier, code.message(), tier),
                code);
  }
  // Advice only: a kernel without transparent huge pages answers EINVAL and serves small ones.
  if (bytes >= kHugePageBytes) static_cast<void>(::madvise(address, bytes, MADV_HUGEPAGE));
  return {static_cast<std::byte*>(address), bytes, unmap};
}

}  // namespace gsnake::device
