#include "io/registered_buffers.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "core/bytes.h"
#include "core/errors.h"
#include "io/engine.h"

namespace gsnake::io {
namespace {

constexpr std::size_t kMaxBufferBytes = 1ULL << 30;  // the kernel's limit for one buffer

const std::byte* begin_of(const iovec& buffer) noexcept { return static_cast<const std::byte*>(buffer.iov_base); }

bool is_before(const iovec& a, const iovec& b) noexcept { return std::less<>()(begin_of(a), begin_of(b)); }

}  // namespace

std::string describe(const RegistrationReport& report) {
  const std::string need = core::format_bytes(report.needed_bytes);
  if (report.ok) return fmt::format("{} of buffers are registered", need);
  if (report.error != std::errc::not_enough_memory) {
    return fmt::format("{} of buffers can't be registered: {}; using unregistered", need, report.error.message());
  }
  // What would fit by itself is refused because of what other processes hold.
  const char* shared = report.needed_bytes <= report.limit_bytes ? " for all processes of this user together" : "";
  return fmt::format("registered buffers need {}, RLIMIT_MEMLOCK is {}{}; using unregistered (raise ulimit -l)", need,
                     core::format_bytes(report.limit_bytes), shared);
}

std::error_code RegisteredBuffers::add(std::span<std::byte> memory) {
  std::vector<iovec> all = buffers_;
  for (std::size_t offset = 0; offset < memory.size(); offset += kMaxBufferBytes) {
    all.push_back({.iov_base = memory.data() + offset, .iov_len = std::min(kMaxBufferBytes, memory.size() - offset)});
  }
  std::ranges::sort(all, is_before);
  std::vector<iovec> before = buffers_;
  // Kernels before 5.19 can't add to a table: it is replaced as a whole.
  clear();
  const std::error_code refusal = replace(std::move(all));
  if (refusal) restore(std::move(before));
  return refusal;
}

void RegisteredBuffers::remove(std::span<std::byte> memory) {
  const iovec first{.iov_base = memory.data(), .iov_len = 0};
  const iovec end{.iov_base = memory.data() + memory.size(), .iov_len = 0};
  std::vector<iovec> left = buffers_;
  std::erase_if(left, [&](const iovec& buffer) { return !is_before(buffer, first) && is_before(buffer, end); });
  if (left.size() == buffers_.size()) return;
  clear();
  restore(std::move(left));
}

void RegisteredBuffers::restore(std::vector<iovec> buffers) noexcept {
  if (buffers.empty() || !replace(std::move(buffers))) return;
  spdlog::debug("io_uring: buffers that were registered could not be registered again");
}

std::error_code RegisteredBuffers::replace(std::vector<iovec> buffers) noexcept {
  const int result = io_uring_register_buffers(&ring_, buffers.data(), static_cast<unsigned>(buffers.size()));
  if (result < 0) return core::errno_code(-result);
  buffers_ = std::move(buffers);
  return {};
}

int RegisteredBuffers::find(const std::byte* data, std::size_t size) const noexcept {
  const iovec key{.iov_base = const_cast<std::byte*>(data), .iov_len = size};
  auto after = std::ranges::upper_bound(buffers_, key, is_before);
  if (after == buffers_.begin()) return -1;
  --after;
  const auto start = static_cast<std::size_t>(data - begin_of(*after));
  if (start > after->iov_len || size > after->iov_len - start) return -1;
  return static_cast<int>(after - buffers_.begin());
}

void RegisteredBuffers::clear() noexcept {
  if (buffers_.empty()) return;
  const int result = io_uring_unregister_buffers(&ring_);
  if (result < 0) spdlog::debug("io_uring: unregistering buffers: {}", core::errno_code(-result).message());
  buffers_.clear();
}

}  // namespace gsnake::io
