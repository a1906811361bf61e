#include "store/transfer/transfer.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "core/errors.h"

namespace gsnake::store {
namespace {

class Submission {
 public:
  // Before the submission, so that its completion finds it counted.
  void submitting() {
    const std::lock_guard guard(mutex_);
    ++pending_;
  }

  // Notifies under the lock: the batch may go as soon as the waiter sees that nothing is pending.
  void completed(const io::Request& request, std::error_code error) noexcept {
    const std::lock_guard guard(mutex_);
    --pending_;
    if (error && failed_ == nullptr) {
      failed_ = &request;
      error_ = error;
    }
    changed_.notify_all();
  }

  [[nodiscard]] bool failed() const {
    const std::lock_guard guard(mutex_);
    return failed_ != nullptr;
  }

  // For the request that is counted but was not taken: waits until another one of the batch has completed; where there is none, others fill
  // the engine, and it waits a little.
  void wait_for_room() {
    std::unique_lock guard(mutex_);
    const std::size_t before = pending_;
    if (before > 1) {
      changed_.wait(guard, [&] { return pending_ < before; });
      return;
    }
    guard.unlock();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void wait_for_all() {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [this] { return pending_ == 0; });
  }

  // After wait_for_all().
  [[nodiscard]] const io::Request* first_failed() const noexcept { return failed_; }
  [[nodiscard]] std::error_code error() const noexcept { return error_; }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t pending_ = 0;
  const io::Request* failed_ = nullptr;
  std::error_code error_;
};

class PieceCompletion final : public io::Completion {
 public:
  PieceCompletion(Submission& batch, const io::Request& request) : batch_(&batch), request_(&request) {}
  void on_complete(std::error_code error) noexcept override { batch_->completed(*request_, error); }

 private:
  Submission* batch_;
  const io::Request* request_;
};

}  // namespace

void transfer_all(io::IoEngine& engine, std::span<io::Request> requests, const std::function<std::string(const io::Request&)>& name_of) {
  Submission batch;
  std::vector<PieceCompletion> completions;
  completions.reserve(requests.size());
  for (io::Request& request : requests) {
    request.completion = &completions.emplace_back(batch, request);
  }
  for (std::size_t next = 0; next < requests.size() && !batch.failed(); ++next) {
    batch.submitting();
    while (!engine.try_submit(requests.subspan(next, 1))) batch.wait_for_room();
  }
  batch.wait_for_all();
  if (const io::Request* failed = batch.first_failed(); failed != nullptr) {
    const char* operation = failed->op == io::Direction::read ? "read" : "write";
    core::throw_storage(fmt::format("{} {} B at offset {} of", operation, failed->size, failed->offset), name_of(*failed), batch.error(),
                        "look at the drive and the kernel's log");
  }
}

}  // namespace gsnake::store
