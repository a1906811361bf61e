// The requests of an engine on their way: capacity, splitting into parts, and when a request is over. What both engines share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <vector>

#include "io/engine.h"
#include "io/transfer_state.h"

namespace gsnake::io {

// A piece of a request that one system call at a time works on.
struct Part {
  TransferState transfer;
  int file = -1;        // as add_file() returned it, or -1 where the request named no such file
  int descriptor = -1;  // its descriptor
  std::uint32_t request = 0;
};

// A request that is over and whose place is free again. Its completion is told outside the engine's lock, so that it may submit.
struct Ended {
  Completion* completion = nullptr;  // nullptr: the request goes on
  std::error_code error;             // of the part that failed first

  void tell() const noexcept {
    if (completion != nullptr) completion->on_complete(error);
  }
};

// All memory is taken at construction. Not thread-safe: each engine guards it with its lock.
// Invariant: in_flight() <= depth, and requests whose parts are not all issued wait in the order of their submission.
class RequestTable {
 public:
  // At most `parts` parts exist at once; parts are `split_bytes` long, rounded up to the file's alignment, and shorter at the end of a
  // request.
  RequestTable(std::size_t depth, std::size_t parts, std::size_t split_bytes);

  int add_file(const File& file);
  [[nodiscard]] const std::vector<int>& descriptors() const noexcept { return descriptors_; }
  [[nodiscard]] int descriptor(int file) const noexcept { return file < 0 ? -1 : descriptors_[static_cast<std::size_t>(file)]; }

  [[nodiscard]] bool try_add(std::span<const Request> requests) noexcept;
  // The next part to work on; nullptr when there is none now.
  [[nodiscard]] Part* next_part() noexcept;
  // Ends a part. After a failure no more parts of its request are issued.
  [[nodiscard]] Ended finish(Part& part, std::error_code error) noexcept;

  [[nodiscard]] std::size_t in_flight() const noexcept { return slots_.size() - free_slots_.size(); }
  [[nodiscard]] std::size_t depth() const noexcept { return slots_.size(); }
  [[nodiscard]] bool has_next_part() const noexcept { return backlog_size_ > 0 && !free_parts_.empty(); }

 private:
  struct Slot {
    Request request;
    std::size_t issued_bytes = 0;
    std::size_t parts = 0;  // issued and not finished
    std::error_code error;
  };

  void pop_backlog() noexcept;
  [[nodiscard]] bool knows(int file) const noexcept { return file >= 0 && static_cast<std::size_t>(file) < descriptors_.size(); }

  std::size_t split_bytes_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<Part> parts_;
  std::vector<Part*> free_parts_;
  std::vector<std::uint32_t> backlog_;  // a ring of slots; only its front may have issued parts
  std::size_t backlog_head_ = 0;
  std::size_t backlog_size_ = 0;
  std::vector<int> descriptors_;
  std::vector<std::size_t> alignments_;
};

}  // namespace gsnake::io
