// What the I/O tests share.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>

#include "io/aligned_buffer.h"
#include "io/engine.h"

namespace gsnake::io::testing {

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& parent = std::filesystem::temp_directory_path().string())
      : path_(parent + "/gsnake-io-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary folder in " + parent);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Counts what it is told and lets a test wait for it.
class Waiter final : public Completion {
 public:
  void on_complete(std::error_code error) noexcept override {
    const std::lock_guard lock(mutex_);
    ++count_;
    if (error) ++failures_;
    if (error) error_ = error;
    told_.notify_all();
  }
  // Of the last failure; empty when all of the first `count` went well.
  std::error_code wait(int count = 1) {
    std::unique_lock lock(mutex_);
    told_.wait(lock, [&] { return count_ >= count; });
    return error_;
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  int failures() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable told_;
  int count_ = 0;
  int failures_ = 0;
  std::error_code error_;
};

// Bytes that differ from place to place and from seed to seed.
inline void fill(AlignedBuffer& buffer, std::uint64_t seed) {
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (std::byte& value : buffer.span()) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value = static_cast<std::byte>(state >> 56);
  }
}

inline bool same(const AlignedBuffer& a, const AlignedBuffer& b, std::size_t size) { return std::memcmp(a.data(), b.data(), size) == 0; }

}  // namespace gsnake::io::testing
