// Blocks of memory with transfers of state in flight: what long reads and writes are made of.
#pragma once

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/engine.h"
#include "store/store.h"

namespace gsnake::store {

// One thread starts transfers and waits for them. Whoever destroys a window waits for what is in flight.
class Window {
 public:
  // `blocks` of `block_bytes` (a multiple of kExtentAlignment) each, with at most `most_in_flight` requests in the engine.
  Window(Store& store, std::size_t blocks, std::size_t block_bytes, std::size_t most_in_flight);
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window();

  [[nodiscard]] std::size_t blocks() const noexcept { return pending_.size(); }
  [[nodiscard]] std::byte* data(std::size_t block) noexcept { return memory_.data() + block * block_bytes_; }
  // Between the block's memory and `slot` of `part`, which fits it. All of these throw Error(storage) that names the first transfer that
  // failed: its object, file, offset and errno.
  void start(io::Direction op, std::size_t block, const Extent& part, int slot);
  void wait(std::size_t block);  // until nothing of the block is in flight
  void wait_for_all();

 private:
  // A request of a block. Its address is the engine's until it has completed.
  struct Piece final : public io::Completion {
    void on_complete(std::error_code error) noexcept override { window->completed(*this, error); }

    Window* window = nullptr;
    std::size_t block = 0;
    io::Request request;
    Extent part;
    int slot = 0;
  };

  void completed(const Piece& piece, std::error_code error) noexcept;
  void submit(Piece& piece);
  void wait_for_room();
  void throw_if_failed() const;

  Store& store_;
  const std::size_t block_bytes_;
  const std::size_t most_in_flight_;
  io::AlignedBuffer memory_;
  const std::size_t pieces_per_block_;
  std::vector<Piece> pieces_;
  std::vector<io::Request> requests_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t in_flight_ = 0;         // requests, guarded by mutex_ as all below
  std::vector<std::size_t> pending_;  // requests, by block
  const Piece* failed_ = nullptr;     // the first
  std::error_code error_;
};

}  // namespace gsnake::store
