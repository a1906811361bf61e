#include "io/direct_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "io/aligned_buffer.h"
#include "io/interrupted.h"

namespace gsnake::io {
namespace {

constexpr std::size_t kUsualAlignment = 4096;

// What statx tells: the larger of its two alignments, 0 for "no direct I/O on this file", nothing where kernel or file system don't tell.
std::optional<std::size_t> told_alignment([[maybe_unused]] int fd) {
#ifdef STATX_DIOALIGN
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) != 0) {
    if (status.stx_dio_offset_align == 0) return 0;
    return std::max<std::size_t>(status.stx_dio_mem_align, status.stx_dio_offset_align);
  }
#endif
  return std::nullopt;
}

bool set_direct_flag(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

DirectIoProbe refused(std::string reason) { return {.direct = false, .alignment = 1, .reason = std::move(reason)}; }

// Why a block of `alignment` bytes can't be transferred; empty when it can. The address is no multiple of twice the alignment, so that a
// drive that needs more than it was told shows it here.
std::string try_transfers(int fd, std::size_t alignment, std::uint64_t size_bytes, ProbeWrites writes) {
  if (size_bytes == 0) return {};
  AlignedBuffer memory(alignment * 2 + AlignedBuffer::kAlignment);
  std::byte* block = memory.data() + alignment;
  if (writes == ProbeWrites::allowed && size_bytes >= alignment) {
    const ssize_t written = retry_interrupted([&] { return ::pwrite(fd, block, alignment, 0); });
    if (written < 0) return fmt::format("probe write: {}", core::errno_code().message());
    if (static_cast<std::size_t>(written) != alignment) return fmt::format("probe write: {} of {} bytes", written, alignment);
  }
  const ssize_t got = retry_interrupted([&] { return ::pread(fd, block, alignment, 0); });
  if (got < 0) return fmt::format("probe read: {}", core::errno_code().message());
  const std::size_t expected = std::min<std::uint64_t>(alignment, size_bytes);
  if (static_cast<std::size_t>(got) != expected) return fmt::format("probe read: {} of {} bytes", got, expected);
  return {};
}

}  // namespace

DirectIoProbe probe_direct_io(int fd, std::uint64_t size_bytes, ProbeWrites writes) {
  const std::optional<std::size_t> told = told_alignment(fd);
  if (told == 0U) return refused("statx: no direct I/O on this file");
  if (!set_direct_flag(fd, true)) return refused(fmt::format("open: {}", core::errno_code().message()));
  std::vector<std::size_t> candidates{told.value_or(kUsualAlignment)};
  if (candidates.front() < kUsualAlignment) candidates.push_back(kUsualAlignment);
  std::string reason;
  for (const std::size_t alignment : candidates) {
    reason = try_transfers(fd, alignment, size_bytes, writes);
    if (reason.empty()) return {.direct = true, .alignment = alignment, .reason = {}};
  }
  if (!set_direct_flag(fd, false)) core::throw_storage("use", "a file without O_DIRECT", core::errno_code(), "choose another folder");
  return refused(std::move(reason));
}

}  // namespace gsnake::io
