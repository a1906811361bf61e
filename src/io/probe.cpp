#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

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
#include "io/cufile.h"
#include "io/cufile_calls.h"
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

// Writes a pattern through a small engine and reads it back; throws where anything of it is refused.
void probe(IoEngine& engine, const File& file) {
  AlignedBuffer written(kProbeBytes);
  AlignedBuffer got(kProbeBytes);
  for (std::size_t i = 0; i < kProbeBytes; ++i) written.data()[i] = static_cast<std::byte>(i * 131 + (i >> 8));
  const int index = engine.add_file(file);
  transfer(engine, file, {.op = Direction::write, .file = index, .data = written.data(), .size = kProbeBytes});
  transfer(engine, file, {.op = Direction::read, .file = index, .data = got.data(), .size = kProbeBytes});
  if (std::memcmp(written.data(), got.data(), kProbeBytes) != 0) {
    core::throw_storage("use " + engine.name() + " on", file.path(), "what was written is not what was read",
                        "set ssd.engine = \"threads\" and check the drive");
  }
}

// io_uring, or the threads with the reason; `choice` is one of those two or automatic.
std::unique_ptr<IoEngine> make_host_engine(EngineChoice choice, const std::string& probe_dir, const EngineOptions& options,
                                           std::string& reason) {
  if (choice == EngineChoice::threads) {
    reason = "threads: asked for";
    return make_thread_engine(options);
  }
  const File file = make_nameless_file(probe_dir, kProbeBytes, DirectIo::automatic);
  try {
    probe(*make_uring_engine({.depth = 2, .uring = options.uring}), file);
    auto engine = make_uring_engine(options);
    reason = fmt::format("io_uring: probed with a real transfer in {}", probe_dir);
    return engine;
  } catch (const Error& error) {
    if (choice == EngineChoice::io_uring || error.kind() != ErrorKind::storage) throw;
    reason = fmt::format("threads: {}", error.what());
  }
  return make_thread_engine(options);
}

// A file for the time of a probe. It has a name: cuFile opens files again by theirs.
class ProbeFile {
 public:
  explicit ProbeFile(const std::string& directory) : file_(File::create(temporary_path(directory), kProbeBytes, DirectIo::automatic)) {}
  ProbeFile(const ProbeFile&) = delete;
  ProbeFile& operator=(const ProbeFile&) = delete;
  ~ProbeFile() { ::unlink(file_.path().c_str()); }
  [[nodiscard]] const File& file() const noexcept { return file_; }

 private:
  File file_;
};

std::unique_ptr<IoEngine> make_probed_cufile_engine(const std::string& probe_dir, const EngineOptions& options, std::string& reason) {
  auto engine = make_cufile_engine(options);
  const ProbeFile file(probe_dir);
  try {
    probe(*make_cufile_engine({.depth = 2, .threads = 1}), file.file());
  } catch (const Error& error) {
    if (cufile::is_cufile(error.code())) throw Error(ErrorKind::usage, error.what(), error.code());
    throw;
  }
  reason = fmt::format("cufile: {}; probed with a real transfer in {}", describe(cufile_status()), probe_dir);
  return engine;
}

}  // namespace

std::unique_ptr<IoEngine> make_engine(EngineChoice choice, const std::string& probe_dir, const EngineOptions& options,
                                      EngineReport* report) {
  EngineReport found;
  std::unique_ptr<IoEngine> engine = choice == EngineChoice::cufile ? make_probed_cufile_engine(probe_dir, options, found.reason)
                                                                    : make_host_engine(choice, probe_dir, options, found.reason);
  found.name = engine->name();
  spdlog::debug("I/O engine {} ({})", found.name, found.reason);
  if (report != nullptr) *report = std::move(found);
  return engine;
}

void require_engine(EngineChoice choice) {
  if (choice != EngineChoice::cufile) return;
  const CuFileStatus status = cufile_status();
  if (!status.available) throw Error(ErrorKind::usage, fmt::format("ssd.engine = \"cufile\": {}", describe(status)));
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
  const char* const remedy = error == std::errc::no_space_on_device ? "free some space"
                             : cufile::is_cufile(error)             ? cufile::kSeeItsLog
                                                                    : "check the file and its drive";
  core::throw_storage(operation, file.path(), error, remedy);
}

}  // namespace gsnake::io
