#include "store/transfer/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/errors.h"
#include "store/state.h"

namespace gsnake::store {

Window::Window(Store& store, std::size_t blocks, std::size_t block_bytes, std::size_t most_in_flight)
    : store_(store),
      block_bytes_(block_bytes),
      most_in_flight_(std::max<std::size_t>(1, most_in_flight)),
      memory_(blocks * block_bytes),
      pieces_per_block_(store.max_requests(block_bytes)),
      pieces_(blocks * pieces_per_block_),
      requests_(pieces_per_block_),
      pending_(blocks, 0) {}

Window::~Window() {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [this] { return in_flight_ == 0; });
}

void Window::start(io::Direction op, std::size_t block, const Extent& part, int slot) {
  const std::size_t count = store_.plan(op, part, slot, data(block), nullptr, requests_);
  for (std::size_t i = 0; i < count; ++i) {
    Piece& piece = pieces_[block * pieces_per_block_ + i];
    piece.window = this;
    piece.block = block;
    piece.part = part;
    piece.slot = slot;
    piece.request = requests_[i];
    piece.request.completion = &piece;
    submit(piece);
  }
}

void Window::wait(std::size_t block) {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [&] { return pending_[block] == 0 || failed_ != nullptr; });
  throw_if_failed();
}

void Window::wait_for_all() {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [this] { return in_flight_ == 0; });
  throw_if_failed();
}

// Notifies under the lock: the window may go as soon as nothing is in flight.
void Window::completed(const Piece& piece, std::error_code error) noexcept {
  const std::lock_guard guard(mutex_);
  --in_flight_;
  --pending_[piece.block];
  if (error && failed_ == nullptr) {
    failed_ = &piece;
    error_ = error;
  }
  changed_.notify_all();
}

void Window::submit(Piece& piece) {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [this] { return in_flight_ < most_in_flight_ || failed_ != nullptr; });
  throw_if_failed();
  ++in_flight_;
  ++pending_[piece.block];
  guard.unlock();
  while (!store_.engine().try_submit({&piece.request, 1})) wait_for_room();
}

// Others may fill the engine, of whose completions we hear nothing.
void Window::wait_for_room() {
  std::unique_lock guard(mutex_);
  const std::size_t before = in_flight_;
  changed_.wait_for(guard, std::chrono::milliseconds(1), [&] { return in_flight_ < before; });
}

void Window::throw_if_failed() const {
  if (failed_ == nullptr) return;
  const io::Request& request = failed_->request;
  core::throw_storage(fmt::format("{} {} B at offset {} of", request.op == io::Direction::read ? "read" : "write", request.size, request.offset),
                      fmt::format("{} ({})", store_.path_of(request.file), describe(failed_->part, failed_->slot)), error_,
                      "look at the drive and the kernel's log");
}

}  // namespace gsnake::store
