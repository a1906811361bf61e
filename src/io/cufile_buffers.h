// Memory that cuFile knows in advance, in use by transfers on many threads.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "io/cufile_calls.h"

namespace gsnake::io::cufile {

enum class Memory : std::uint8_t { host, device };

// Thread-safe.
class Buffers {
  struct Entry {
    std::size_t size = 0;
    Memory memory = Memory::host;
    bool registered = false;  // else cuFile refused it: device memory stays known all the same
    bool leaving = false;
    unsigned uses = 0;
  };

 public:
  // Memory as a transfer names it to cuFile: where a registered range begins, and how far into it. It stays registered while this lives.
  class Use {
   public:
    Use(Use&& other) noexcept
        : owner_(other.owner_), entry_(std::exchange(other.entry_, nullptr)), base_(other.base_), offset_(other.offset_) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (entry_ != nullptr) owner_.give_back(*entry_);
    }
    [[nodiscard]] std::byte* base() const noexcept { return base_; }
    [[nodiscard]] std::size_t offset() const noexcept { return offset_; }

   private:
    friend class Buffers;
    Use(Buffers& owner, Entry* entry, std::byte* base, std::size_t offset) noexcept
        : owner_(owner), entry_(entry), base_(base), offset_(offset) {}

    Buffers& owner_;
    Entry* entry_;  // nullptr: unregistered
    std::byte* base_;
    std::size_t offset_;
  };

  // `calls` is borrowed and outlives it.
  explicit Buffers(const Calls& calls) noexcept : calls_(calls) {}
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  // All uses have ended.
  ~Buffers();

  // What cuFile said where it refused. Device memory that it refused stays known, until remove().
  std::error_code add(std::span<std::byte> memory, Memory kind);
  // What add() was given; unknown memory is fine. Waits for its uses.
  void remove(std::span<std::byte> memory);
  // Unregistered memory is used as it is. Nothing where the range begins in known device memory and goes on beyond it. Allocates nothing.
  [[nodiscard]] std::optional<Use> use(std::byte* data, std::size_t size) noexcept;

 private:
  void give_back(Entry& entry) noexcept;
  void deregister(const std::byte* base) const noexcept;

  const Calls& calls_;
  std::mutex mutex_;
  std::condition_variable given_back_;
  std::map<std::byte*, Entry, std::less<>> entries_;  // guarded by mutex_; by address
};

}  // namespace gsnake::io::cufile
