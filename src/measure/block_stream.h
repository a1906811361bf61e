// Blocks to and from files in sequence, so many in flight from first to last.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include "io/engine.h"
#include "measure/load.h"
#include "measure/test_files.h"

namespace gsnake::measure {

struct StreamOptions {
  std::uint64_t block_bytes = 4ULL << 20;
  unsigned depth = 16;             // blocks in flight
  std::uint64_t stripe_bytes = 0;  // a block is cut into pieces of this size that go to the files in turn; 0: blocks go whole
  double read_share = 1.0;         // of the blocks; the others are written
  std::uint64_t blocks = 0;        // in all; 0: until stop(), over the files again and again
  // The thread that runs the stream computes the checksum of each block before it is written and after it was read, as the executor's SSD
  // lanes do; else a completion makes room for the next block on the engine's thread.
  bool checked = false;
  std::string what = "the engine";  // for messages
};

// Borrows all that it is given. The engine knows `files`, in their order, as the first that were added, and has room for depth blocks in
// pieces; `memory` has depth blocks.
class BlockStream {
 public:
  BlockStream(io::IoEngine& engine, const TestFiles& files, std::byte* memory, StreamOptions options);

  // Until all blocks are moved, or stop(); whatever is in flight is waited for. Each block is told to `counter`, where there is one. Once.
  // Throws Error(storage).
  void run(Counter* counter = nullptr);
  // From any thread.
  void stop() noexcept;

  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_.load(); }  // blocks
  [[nodiscard]] std::uint64_t reads() const noexcept { return reads_.load(); }  // of those

 private:
  // Room for one block in flight.
  class Place final : public io::Completion {
   public:
    Place(BlockStream& stream, std::byte* memory);
    void on_complete(std::error_code error) noexcept override;
    void submit_next() noexcept;
    void check_read() const noexcept;

   private:
    BlockStream& stream_;
    std::byte* memory_;
    std::vector<io::Request> requests_;
    std::atomic<std::size_t> pending_{0};
    std::atomic<bool> failed_{false};
  };

  [[nodiscard]] std::uint64_t piece_bytes() const { return options_.stripe_bytes == 0 ? options_.block_bytes : options_.stripe_bytes; }
  bool plan(std::byte* memory, io::Completion& completion, std::vector<io::Request>& requests);
  void arrived(Place& place) noexcept;
  void count() noexcept;
  void fail(std::error_code error) noexcept;
  void end() noexcept;
  void attend(std::unique_lock<std::mutex>& lock);

  io::IoEngine& engine_;
  const StreamOptions options_;
  const std::uint64_t files_;
  const std::uint64_t pieces_of_file_;
  Counter* counter_ = nullptr;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::uint64_t> moved_{0};
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<bool> stopping_{false};
  std::deque<Place> places_;
  std::mutex mutex_;
  std::condition_variable told_;
  std::vector<Place*> arrived_;  // to be attended to by the thread that runs the stream
  std::size_t idle_ = 0;
  std::error_code error_;
};

}  // namespace gsnake::measure
