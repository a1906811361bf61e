// What a system call's result means for a transfer: the one place that knows about short transfers, retries and the end of a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace gsnake::io {

// Failures without an errno of their own. Both equal std::errc::io_error.
enum class IoFailure : int {
  end_of_file = 1,  // a read moved no bytes
  no_progress = 2,  // a write moved no bytes
};

[[nodiscard]] std::error_code make_error_code(IoFailure failure) noexcept;

enum class Direction : std::uint8_t { read, write };

enum class NextMove : std::uint8_t {
  done,      // every byte was transferred
  resubmit,  // progress: go on with what offset(), data() and remaining() say now
  retry,     // no progress, but worth the same call again
  fail,      // error() says why
};

// What one call moved: bytes, or why it moved none.
struct Moved {
  std::uint64_t bytes = 0;
  std::error_code error;  // bytes mean nothing then
};

// Whether the same call may do better a moment later.
[[nodiscard]] inline bool is_busy(std::error_code error) noexcept { return error == std::errc::resource_unavailable_try_again; }

// One transfer on its way through system calls. A plain value, not thread-safe.
class TransferState {
 public:
  static constexpr unsigned kMaxRetries = 64;  // in a row without progress

  // `alignment` in bytes, of what is left after a short transfer: a direct file takes nothing else, so the odd end is transferred again.
  void begin(Direction op, std::uint64_t offset, std::byte* data, std::size_t size, std::size_t alignment) noexcept;

  // Takes the result of a call for what is left: bytes, or a negative errno.
  [[nodiscard]] NextMove on_result(std::int64_t result) noexcept;
  [[nodiscard]] NextMove on_result(const Moved& moved) noexcept;

  [[nodiscard]] Direction op() const noexcept { return op_; }
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t remaining() const noexcept { return remaining_; }
  [[nodiscard]] std::error_code error() const noexcept { return error_; }

 private:
  NextMove fail(std::error_code error) noexcept;

  Direction op_ = Direction::read;
  std::uint64_t offset_ = 0;
  std::byte* data_ = nullptr;
  std::size_t remaining_ = 0;
  std::size_t alignment_ = 1;
  unsigned retries_ = 0;
  std::error_code error_;
};

}  // namespace gsnake::io

template <>
struct std::is_error_code_enum<gsnake::io::IoFailure> : std::true_type {};
