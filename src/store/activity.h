// What a store waits for in system calls, for whoever asks why a run stands still.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <mutex>
#include <string>

namespace gsnake::store {

// Thread-safe; nothing allocates but text().
class Activity {
  using Clock = std::chrono::steady_clock;
  struct Entry {
    const char* call = nullptr;  // nullptr: free
    std::array<char, 256> path{};
    Clock::time_point began;
  };

 public:
  // A call under way, from construction to destruction. `call` is a literal. More at once than there are entries go unnamed.
  class Call {
   public:
    Call(Activity& activity, const char* call, const std::string& path) : activity_(activity) {
      const std::lock_guard guard(activity_.mutex_);
      for (Entry& entry : activity_.entries_) {
        if (entry.call != nullptr) continue;
        std::snprintf(entry.path.data(), entry.path.size(), "%s", path.c_str());
        entry.call = call;
        entry.began = Clock::now();
        entry_ = &entry;
        return;
      }
    }
    ~Call() {
      const std::lock_guard guard(activity_.mutex_);
      if (entry_ != nullptr) entry_->call = nullptr;
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Activity& activity_;
    Entry* entry_ = nullptr;
  };

  // The call that has been under way longest: "fdatasync of /ssd/weights.bin"; empty when none is.
  [[nodiscard]] std::string text() const {
    const std::lock_guard guard(mutex_);
    const Entry* oldest = nullptr;
    for (const Entry& entry : entries_) {
      if (entry.call != nullptr && (oldest == nullptr || entry.began < oldest->began)) oldest = &entry;
    }
    return oldest == nullptr ? std::string() : std::string(oldest->call) + " of " + oldest->path.data();
  }

 private:
  mutable std::mutex mutex_;
  std::array<Entry, 16> entries_;
};

}  // namespace gsnake::store
