#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "core/errors.h"
#include "io/aligned_buffer.h"
#include "io/directories.h"
#include "io/engine.h"

namespace gsnake::io {
namespace {

constexpr std::size_t kProbeBytes = 64 * 1024;
constexpr std::chrono::microseconds kBusyPause{100};

class BlockingCompletion final : public Completion {
 public:
  void on_complete(std::error_code error) noexcept override {
    // Told under the lock: the waiter owns this object and may destroy it as soon as it sees the result.
    const std::lock_guard lock(mutex_);
    result_ = error;
    done_.notify_one();
  }
  std::error_code wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return result_.has_value(); });
    return *result_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<std::error_code> result_;
};

// Writes a pattern through a small io_uring engine and reads it back; throws where anything of it is refused.
void probe_uring(const File& file, const UringOptions& options) {
  AlignedBuffer written(kProbeBytes);
  AlignedBuffer got(kProbeBytes);
  for (std::size_t i = 0; i < kProbeBytes; ++i) written.data()[i] = static_cast<std::byte>(i * 131 + (i >> 8));
  const std::unique_ptr<IoEngine> engine = make_uring_engine({.depth = 2, .uring = options});
  const int index = engine->add_file(file);
  transfer(*engine, file, {.op = Direction::write, .file = index, .data = written.data(), .size = kProbeBytes});
  transfer(*engine, file, {.op = Direction::read, .file = index, .data = got.data(), .size = kProbeBytes});
  if (std::memcmp(written.data(), got.data(), kProbeBytes) != 0) {
    core::throw_storage("use io_uring on", file.path(), "what was written is not what was read",
                        "set ssd.engine = \"threads\" and check the drive");
  }
}

}  // namespace

std::unique_ptr<IoEngine> make_engine(EngineChoice choice, const std::string& probe_dir, const EngineOptions& options,
                                      EngineReport* report) {
  EngineReport found;
  std::unique_ptr<IoEngine> engine;
  if (choice == EngineChoice::threads) {
    found.reason = "threads: asked for";
  } else {
    const File file = make_nameless_file(probe_dir, kProbeBytes, DirectIo::automatic);
    try {
      probe_uring(file, options.uring);
      engine = make_uring_engine(options);
      found.reason = fmt::format("io_uring: probed with a real transfer in {}", probe_dir);
    } catch (const Error& error) {
      if (choice == EngineChoice::io_uring || error.kind() != ErrorKind::storage) throw;
      found.reason = fmt::format("threads: {}", error.what());
    }
  }
  if (!engine) engine = make_thread_engine(options);
  found.name = engine->name();
  spdlog::debug("I/O engine {} ({})", found.name, found.reason);
  if (report != nullptr) *report = std::move(found);
  return engine;
}

void transfer(IoEngine& engine, const File& file, const Request& request) {
  BlockingCompletion completion;
  Request own = request;
  own.completion = &completion;
  while (!engine.try_submit({&own, 1})) std::this_thread::sleep_for(kBusyPause);
  const std::error_code error = completion.wait();
  if (!error) return;
  const std::string operation =
      fmt::format("{} {} bytes at offset {} of", request.op == Direction::read ? "read" : "write", request.size, request.offset);
  core::throw_storage(operation, file.path(), error,
                      error == std::errc::no_space_on_device ? "free some space" : "check the file and its drive");
}

}  // namespace gsnake::io
