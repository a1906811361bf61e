// Memory from the kernel, not from the heap: page-aligned, zero-filled, on huge pages where they are to be had.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace gsnake::memory {

struct PageOptions {
  // Touched before the constructor returns, so that no step stops for a page fault and what is resident is known from the start; spread over
  // the machine's memory nodes, or kept on one.
  bool resident = false;
  std::string_view tier;  // "host" or "device": whose budget a refusal says to lower; empty: either
  int node = -1;          // that resident pages are kept on, as the kernel numbers them (core/memory_node.h); -1: they are spread
};

// Whether a memory node has so many bytes free, as far as the kernel says.
bool fits_on_node(std::size_t bytes, int node);

// Move-only owner of a private anonymous mapping. Blocks of 2 MiB and more start on a multiple of 2 MiB, others on a page.
class AnonymousMemory {
 public:
  AnonymousMemory() = default;
  // `bytes` is rounded up to whole pages; 0 gives an empty owner. Throws Error(budget) when the kernel refuses it (ENOMEM: RLIMIT_AS or
  // strict overcommit). Pages are only counted as used when first touched.
  explicit AnonymousMemory(std::size_t bytes, const PageOptions& options = {});
  AnonymousMemory(AnonymousMemory&& other) noexcept { swap(other); }
  AnonymousMemory& operator=(AnonymousMemory&& other) noexcept {
    AnonymousMemory(std::move(other)).swap(*this);
    return *this;
  }
  ~AnonymousMemory() { give_back(data_, bytes_); }

  void swap(AnonymousMemory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }  // as asked for

  // For an owner of another type, who calls give_back() with the address and bytes() in the end.
  [[nodiscard]] std::byte* release() noexcept { return std::exchange(data_, nullptr); }
  static void give_back(std::byte* data, std::size_t bytes) noexcept;

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace gsnake::memory
