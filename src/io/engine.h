// Asynchronous file I/O: one interface, three engines (io_uring; a pool of threads that call pread and pwrite; cuFile, see cufile.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>

#include "greedysnake/choices.h"
#include "io/file.h"
#include "io/transfer_state.h"

namespace gsnake::io {

// Told once, when a request is over. Owned by the submitter, who keeps it and the buffer alive until then.
class Completion {
 public:
  // Called on one of the engine's threads, in any order. An empty code means that every byte was transferred. Must not
  // block and must not throw; it may call try_submit().
  virtual void on_complete(std::error_code error) noexcept = 0;

 protected:
  ~Completion() = default;
};

// A transfer of a whole span, as a plain value. With a direct file, offset, size and address are multiples of the file's alignment.
struct Request {
  Direction op = Direction::read;
  int file = -1;             // what add_file() returned
  std::uint64_t offset = 0;  // bytes from the start of the file
  std::byte* data = nullptr;
  std::size_t size = 0;  // bytes
  Completion* completion = nullptr;
};

// When the kernel does what is left of a completion: it interrupts the ring's thread (all kernels), waits until that thread calls anyway
// (5.19), or until it asks for completions (6.1). An older kernel gets the one before.
enum class TaskRun : std::uint8_t { interrupting, cooperative, deferred };

// How io_uring is set up. The defaults are what measured best: see docs/io.md, and `gsnake bench ssd --options` for other machines.
struct UringOptions {
  TaskRun task_run = TaskRun::deferred;
  bool submission_polling = false;  // SQPOLL: a kernel thread takes requests without a system call, and a core; task_run has no meaning
  bool completion_polling = false;  // IOPOLL: direct files on drives whose queues poll, and nothing else
  bool register_files = true;
  bool register_buffers = true;
};

struct EngineOptions {
  unsigned depth = 64;          // requests in flight at most
  unsigned threads = 16;        // of the thread-pool engine
  std::size_t split_bytes = 0;  // a larger request is split into transfers of this size; 0: the engine's default
  UringOptions uring{};
};

// What became of register_buffer().
struct RegistrationReport {
  bool ok = false;
  std::uint64_t needed_bytes = 0;  // of all memory that was to be registered
  std::uint64_t limit_bytes = 0;   // RLIMIT_MEMLOCK; the largest number where there is none
  std::error_code error{};         // of the first refusal
};

// "registered buffers need 1.00 GiB, RLIMIT_MEMLOCK is 8.00 MiB; using unregistered (raise ulimit -l)", or what else was refused and why.
[[nodiscard]] std::string describe(const RegistrationReport& report);

// Thread-safe. Short transfers are resubmitted for the rest; EINTR and EAGAIN are retried a bounded number of times; a read or a write that
// makes no progress is an error (std::errc::io_error, "no progress": the file ends there). The destructor waits for what is in flight.
// Nothing is allocated per request.
class IoEngine {
 public:
  virtual ~IoEngine() = default;
  IoEngine() = default;
  IoEngine(const IoEngine&) = delete;
  IoEngine& operator=(const IoEngine&) = delete;

  // `file` is borrowed and outlives the engine. At any time, but not from a completion: it may wait for what is in flight.
  virtual int add_file(const File& file) = 0;
  // Tells the engine of memory that requests will use, until withdraw_buffer() or the engine's end. At any time, but not from a completion: it
  // waits for what is in flight. An optimisation only: where the kernel refuses (RLIMIT_MEMLOCK, with a warning in the log) or the engine has
  // no use for it, all works as before.
  virtual RegistrationReport register_buffer(std::span<std::byte> memory) = 0;
  // The same for a range of GPU memory, as its device addresses it: requests may lie in it from then on, if the engine takes such memory, which
  // "cufile" alone does. The others report std::errc::operation_not_supported.
  virtual RegistrationReport register_device_buffer(std::span<std::byte> memory) {
    return {.needed_bytes = memory.size(), .error = std::make_error_code(std::errc::operation_not_supported)};
  }
  // Before that memory is released: else other memory at the same address would be taken for it. As register_buffer(); of memory that was
  // refused, or is unknown, it does nothing.
  virtual void withdraw_buffer(std::span<std::byte> memory) = 0;
  // Of all calls so far: ok when there were some and each was.
  [[nodiscard]] virtual RegistrationReport registration() const = 0;

  // False when `requests.size()` more would exceed the capacity: nothing was submitted. Else all were. Submission errors are
  // reported through the completions.
  [[nodiscard]] virtual bool try_submit(std::span<const Request> requests) = 0;
  [[nodiscard]] virtual std::size_t in_flight() const noexcept = 0;
  [[nodiscard]] virtual std::size_t capacity() const noexcept = 0;
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;  // "io_uring", "threads" or "cufile"
};

// Memory that an engine knows while this lives, which is not longer than the memory and the engine do.
class BufferRegistration {
 public:
  BufferRegistration(IoEngine& engine, std::span<std::byte> memory) : engine_(engine), memory_(memory) { engine_.register_buffer(memory_); }
  ~BufferRegistration() { engine_.withdraw_buffer(memory_); }
  BufferRegistration(const BufferRegistration&) = delete;
  BufferRegistration& operator=(const BufferRegistration&) = delete;

 private:
  IoEngine& engine_;
  std::span<std::byte> memory_;
};

std::unique_ptr<IoEngine> make_uring_engine(const EngineOptions& options);  // throws Error(storage) where io_uring is refused
std::unique_ptr<IoEngine> make_thread_engine(const EngineOptions& options);

using gsnake::EngineChoice;

struct EngineReport {
  std::string name;    // the engine in use
  std::string reason;  // why: "io_uring: probed with a real transfer in DIR", or what refused it
};

// Makes the engine that `choice` names. `automatic` probes io_uring with a real write and read of a temporary file in `probe_dir` (removed
// again) and falls back to threads with the reason. `io_uring` throws Error(storage) where it is refused. `cufile` is probed in the same way
// and throws Error(usage) where cuFile can't be had or refuses the folder's file system.
std::unique_ptr<IoEngine> make_engine(EngineChoice choice, const std::string& probe_dir, const EngineOptions& options,
                                      EngineReport* report);

// Throws Error(usage), with the reason and what to do, where this machine lacks what `choice` needs; before any folder is known.
void require_engine(EngineChoice choice);

// A blocking transfer of any size through the engine, for set-up, export and inspection. Throws Error(storage) that names operation, path,
// offset, length and errno.
void transfer(IoEngine& engine, const File& file, const Request& request);

}  // namespace gsnake::io
