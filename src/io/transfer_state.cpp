#include "io/transfer_state.h"

#include <cerrno>
#include <string>

#include "core/errors.h"

namespace gsnake::io {
namespace {

class IoFailureCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "gsnake.io"; }
  [[nodiscard]] std::string message(int value) const override {
    return static_cast<IoFailure>(value) == IoFailure::end_of_file ? "no progress: the file ends there"
                                                                   : "no progress: the write moved no bytes";
  }
  [[nodiscard]] std::error_condition default_error_condition(int) const noexcept override { return std::errc::io_error; }
};

}  // namespace

std::error_code make_error_code(IoFailure failure) noexcept {
  static const IoFailureCategory category;
  return {static_cast<int>(failure), category};
}

void TransferState::begin(Direction op, std::uint64_t offset, std::byte* data, std::size_t size, std::size_t alignment) noexcept {
  op_ = op;
  offset_ = offset;
  data_ = data;
  remaining_ = size;
  alignment_ = alignment;
  retries_ = 0;
  error_.clear();
}

NextMove TransferState::on_result(std::int64_t result) noexcept {
  if (result < 0) return on_result(Moved{0, core::errno_code(static_cast<int>(-result))});
  return on_result(Moved{static_cast<std::uint64_t>(result), {}});
}

NextMove TransferState::on_result(const Moved& moved) noexcept {
  if (moved.error) {
    const bool transient = moved.error == std::errc::interrupted || is_busy(moved.error);
    return transient && ++retries_ <= kMaxRetries ? NextMove::retry : fail(moved.error);
  }
  if (moved.bytes >= remaining_) {
    remaining_ = 0;
    return NextMove::done;
  }
  const std::size_t progress = static_cast<std::size_t>(moved.bytes) / alignment_ * alignment_;
  if (progress == 0) return fail(op_ == Direction::read ? IoFailure::end_of_file : IoFailure::no_progress);
  offset_ += progress;
  data_ += progress;
  remaining_ -= progress;
  retries_ = 0;
  return NextMove::resubmit;
}

NextMove TransferState::fail(std::error_code error) noexcept {
  error_ = error;
  return NextMove::fail;
}

}  // namespace gsnake::io
