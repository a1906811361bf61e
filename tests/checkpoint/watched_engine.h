// An engine that counts what is read and tells of the first write.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "io/engine.h"

namespace gsnake::checkpoint::test {

class WatchedEngine final : public io::IoEngine {
 public:
  struct Seen {
    std::atomic<std::uint64_t> read_bytes{0};
    std::function<void()> before_first_write;
    std::atomic<bool> written{false};
  };
  WatchedEngine(std::unique_ptr<io::IoEngine> inside, Seen& seen) : inside_(std::move(inside)), seen_(seen) {}

  int add_file(const io::File& file) override { return inside_->add_file(file); }
  io::RegistrationReport register_buffer(std::span<std::byte> memory) override { return inside_->register_buffer(memory); }
  void withdraw_buffer(std::span<std::byte> memory) override { inside_->withdraw_buffer(memory); }
  [[nodiscard]] io::RegistrationReport registration() const override { return inside_->registration(); }
  [[nodiscard]] bool try_submit(std::span<const io::Request> requests) override {
    std::uint64_t bytes = 0;
    for (const io::Request& request : requests) {
      if (request.op == io::Direction::read) bytes += request.size;
      if (request.op == io::Direction::write && seen_.before_first_write && !seen_.written.exchange(true)) seen_.before_first_write();
    }
    const bool taken = inside_->try_submit(requests);
    if (taken) seen_.read_bytes += bytes;
    return taken;
  }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return inside_->in_flight(); }
  [[nodiscard]] std::size_t capacity() const noexcept override { return inside_->capacity(); }
  [[nodiscard]] const std::string& name() const noexcept override { return inside_->name(); }

 private:
  const std::unique_ptr<io::IoEngine> inside_;
  Seen& seen_;
};

// What StoreOptions asks for.
inline std::function<std::unique_ptr<io::IoEngine>(std::unique_ptr<io::IoEngine>)> watching(WatchedEngine::Seen& seen) {
  return [&seen](std::unique_ptr<io::IoEngine> inside) { return std::make_unique<WatchedEngine>(std::move(inside), seen); };
}

}  // namespace gsnake::checkpoint::test
