// Faults that an engine must make good: short, interrupted, late and reordered transfers, drawn at random from a seed.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

#include "io/faulty_engine.h"
#include "io/ring_faults.h"
#include "io/system_io.h"

namespace gsnake::io::testing {

inline constexpr std::size_t kFaultPage = 4096;  // direct files take nothing smaller

// Of the io_uring engine, on the ring's thread.
class HarmlessRingFaults final : public RingFaults {
 public:
  explicit HarmlessRingFaults(std::uint64_t seed) : random_(seed) {}

  std::size_t limit(const RingTransfer& transfer) noexcept override { return shortened(transfer.bytes); }
  int result(const RingTransfer& /*transfer*/, int result) noexcept override {
    if (result <= 0) return result;
    switch (random_() % 16) {
      case 0:
        return -EINTR;
      case 1:
        return -EAGAIN;
      default:
        return static_cast<int>(shortened(static_cast<std::size_t>(result)));
    }
  }
  std::size_t next(std::size_t held) noexcept override { return random_() % (held + 1); }

 private:
  std::size_t shortened(std::size_t bytes) noexcept {
    if (bytes <= kFaultPage || random_() % 4 != 0) return bytes;
    return kFaultPage * (1 + random_() % (bytes / kFaultPage));
  }
  std::mt19937_64 random_;
};

// Of the thread engine, on its threads.
class HarmlessSystemIo final : public SystemIo {
 public:
  explicit HarmlessSystemIo(std::uint64_t seed) : random_(seed) {}

  std::int64_t pread(int fd, std::byte* data, std::size_t size, std::uint64_t offset) noexcept override {
    const std::uint64_t draw = prelude();
    return draw % 16 < 2 ? error(draw) : kernel_io().pread(fd, data, shortened(size, draw / 16), offset);
  }
  std::int64_t pwrite(int fd, const std::byte* data, std::size_t size, std::uint64_t offset) noexcept override {
    const std::uint64_t draw = prelude();
    return draw % 16 < 2 ? error(draw) : kernel_io().pwrite(fd, data, shortened(size, draw / 16), offset);
  }

 private:
  std::uint64_t prelude() noexcept {
    std::unique_lock lock(mutex_);
    const std::uint64_t draw = random_();
    lock.unlock();
    if (draw >> 60 == 0) std::this_thread::sleep_for(std::chrono::microseconds(draw >> 50 & 255));
    return draw;
  }
  static std::int64_t error(std::uint64_t draw) noexcept { return draw % 2 == 0 ? -EINTR : -EAGAIN; }
  static std::size_t shortened(std::size_t bytes, std::uint64_t draw) noexcept {
    if (bytes <= kFaultPage || draw % 4 != 0) return bytes;
    return kFaultPage * (1 + draw / 4 % (bytes / kFaultPage));
  }
  std::mutex mutex_;
  std::mt19937_64 random_;
};

// Half of the completions up to `longest` late, hence out of order.
inline Fates late_fates(std::uint64_t seed, std::chrono::microseconds longest) {
  return [random = std::mt19937_64(seed), longest](const Request& /*request*/, const std::string& /*path*/) mutable {
    const std::uint64_t draw = random();
    const auto span = static_cast<std::uint64_t>(longest.count());
    return Fate{.delay = std::chrono::microseconds(draw % 2 == 0 ? 0 : draw / 2 % span)};
  };
}

// `choice` is io_uring or threads.
inline std::unique_ptr<IoEngine> make_harmless_engine(EngineChoice choice, const EngineOptions& options, std::uint64_t seed) {
  constexpr std::chrono::microseconds kLongest{300};
  if (choice == EngineChoice::io_uring) {
    const auto faults = std::make_shared<HarmlessRingFaults>(seed);
    return std::make_unique<FaultyEngine>(make_uring_engine(options, faults.get()), late_fates(seed, kLongest), faults);
  }
  const auto faults = std::make_shared<HarmlessSystemIo>(seed);
  return std::make_unique<FaultyEngine>(make_thread_engine(options, *faults), late_fates(seed, kLongest), faults);
}

}  // namespace gsnake::io::testing
