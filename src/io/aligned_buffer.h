// Page-aligned memory for transfers of set-up code and tests; what a step uses comes from the arenas.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <utility>

namespace gsnake::io {

// Move-only owner of zeroed memory whose address is a multiple of kAlignment bytes: fit for O_DIRECT, not pinned. Large memory asks for
// huge pages: scattered small ones exceed a drive's segments and break a transfer of MiB into several.
class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 4096;

  explicit AlignedBuffer(std::size_t size_bytes)
      : data_(static_cast<std::byte*>(::operator new(size_bytes, alignment_of(size_bytes)))), size_bytes_(size_bytes) {
    // Refused where the kernel has no huge pages: only speed is lost.
    if (size_bytes >= kHugePage) static_cast<void>(::madvise(data_, size_bytes / kHugePage * kHugePage, MADV_HUGEPAGE));
    std::memset(data_, 0, size_bytes);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  ~AlignedBuffer() { ::operator delete (data_, std::align_val_t{kAlignment}); }

  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_bytes_; }
  [[nodiscard]] std::span<std::byte> span() noexcept { return {data_, size_bytes_}; }

 private:
  static constexpr std::size_t kHugePage = 2ULL << 20;

  static std::align_val_t alignment_of(std::size_t size_bytes) noexcept {
    return std::align_val_t{size_bytes >= kHugePage ? kHugePage : kAlignment};
  }

  std::byte* data_;
  std::size_t size_bytes_;
};

}  // namespace gsnake::io
