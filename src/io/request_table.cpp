#include "io/request_table.h"

#include <algorithm>

#include "core/bytes.h"

namespace gsnake::io {
namespace {

// Of one system call: the kernel takes a little less than 2 GiB.
constexpr std::size_t kMaxSplitBytes = 1ULL << 30;

}  // namespace

RequestTable::RequestTable(std::size_t depth, std::size_t parts, std::size_t split_bytes)
    : split_bytes_(std::clamp<std::size_t>(split_bytes, 1, kMaxSplitBytes)), slots_(depth), parts_(parts), backlog_(depth) {
  free_slots_.reserve(depth);
  for (std::size_t slot = depth; slot > 0; --slot) free_slots_.push_back(static_cast<std::uint32_t>(slot - 1));
  free_parts_.reserve(parts);
  for (Part& part : parts_) free_parts_.push_back(&part);
}

int RequestTable::add_file(const File& file) {
  alignments_.push_back(file.alignment());
  descriptors_.push_back(file.fd());
  return static_cast<int>(descriptors_.size() - 1);
}

bool RequestTable::try_add(std::span<const Request> requests) noexcept {
  if (requests.size() > free_slots_.size()) return false;
  for (const Request& request : requests) {
    const std::uint32_t index = free_slots_.back();
    free_slots_.pop_back();
    slots_[index] = Slot{.request = request, .issued_bytes = 0, .parts = 0, .error = {}};
    backlog_[(backlog_head_ + backlog_size_++) % backlog_.size()] = index;
  }
  return true;
}

Part* RequestTable::next_part() noexcept {
  if (!has_next_part()) return nullptr;
  const std::uint32_t index = backlog_[backlog_head_];
  Slot& slot = slots_[index];
  const Request& request = slot.request;
  Part& part = *free_parts_.back();
  free_parts_.pop_back();
  part.request = index;
  part.file = knows(request.file) ? request.file : -1;
  part.descriptor = descriptor(part.file);
  const std::size_t alignment = part.file < 0 ? 1 : alignments_[static_cast<std::size_t>(part.file)];
  const std::size_t size = std::min<std::size_t>(core::round_up(split_bytes_, alignment), request.size - slot.issued_bytes);
  part.transfer.begin(request.op, request.offset + slot.issued_bytes, request.data + slot.issued_bytes, size, alignment);
  slot.issued_bytes += size;
  ++slot.parts;
  if (slot.issued_bytes == request.size) pop_backlog();
  return &part;
}

Ended RequestTable::finish(Part& part, std::error_code error) noexcept {
  const std::uint32_t index = part.request;
  Slot& slot = slots_[index];
  free_parts_.push_back(&part);
  --slot.parts;
  if (error && !slot.error) slot.error = error;
  if (slot.error && slot.issued_bytes < slot.request.size) {
    slot.issued_bytes = slot.request.size;
    pop_backlog();
  }
  if (slot.parts > 0 || slot.issued_bytes < slot.request.size) return {};
  free_slots_.push_back(index);
  return {.completion = slot.request.completion, .error = slot.error};
}

void RequestTable::pop_backlog() noexcept {
  backlog_head_ = (backlog_head_ + 1) % backlog_.size();
  --backlog_size_;
}

}  // namespace gsnake::io
