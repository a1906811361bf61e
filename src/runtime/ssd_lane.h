// ssd_read and ssd_write: what is ready goes to the store's engine, most urgent first, with bounded work in flight.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "runtime/base_hashes.h"
#include "runtime/lane.h"
#include "runtime/places.h"
#include "runtime/slot_table.h"
#include "store/store.h"

namespace gsnake::runtime {

class SsdLane final : public LaneRunner {
 public:
  struct Options {
    Lane lane = Lane::ssd_read;
    double emulated_rate = 0.0;    // bytes/s; 0: not capped
    std::size_t most_in_flight = 8;  // tasks
    std::size_t most_ready = 0;      // tasks that can be ready at once
    bool verify = true;              // reads against the checksums of what was written
    bool hash = true;                // writes
    BaseHashes base = {};            // what reads of a base are verified against
  };
  SsdLane(const Options& options, const schedule::Map& map, store::Store& store, SlotTable& slots, const MemoryImage& memory, TaskSink& sink);
  ~SsdLane() override { stop(); }

  void ready(Flight& flight, TaskId task) override;
  void stop() noexcept override;
  [[nodiscard]] std::optional<InHand> oldest() override;

 private:
  // One task on its way: its requests, one completion each, so that a failure can name the file.
  struct Operation;
  struct Part final : io::Completion {
    void on_complete(std::error_code error) noexcept override;
    Operation* operation = nullptr;
    std::size_t index = 0;
    std::atomic<bool> over{false};
  };
  struct Operation {
    SsdLane* lane = nullptr;
    Flight* flight = nullptr;
    TaskId task = -1;
    InHand in_hand;  // while `task` is set: the flight may be another graph's as soon as the task is over
    std::int64_t due_ns = 0;
    int extent = 0;
    int slot = 0;
    std::byte* data = nullptr;
    std::uint64_t checksum = 0;  // of what a write carries
    std::vector<io::Request> requests;
    std::vector<Part> parts;
    std::size_t count = 0;
    std::atomic<std::size_t> left{0};
    std::atomic<bool> planned{false};  // requests and parts are this task's
  };

  void dispatch();
  Operation* next(std::unique_lock<std::mutex>& lock);
  void finish_due(std::unique_lock<std::mutex>& lock);
  void begin(Operation& operation);
  [[nodiscard]] bool to_be_verified(const Operation& operation) const;
  [[nodiscard]] bool hashed(const schedule::Extent& extent) const;
  void verify(const Operation& operation) noexcept;
  void check_written(const Operation& operation) const;
  void check_base(const Operation& operation) const;
  [[noreturn]] void fail_verification(const Operation& operation, std::uint64_t expected, std::uint64_t found) const;
  void submit(Operation& operation);
  void arrived(Operation& operation) noexcept;
  void finish(Operation& operation) noexcept;
  void report(const Operation& operation, std::size_t part, std::error_code error) noexcept;
  [[nodiscard]] std::string pending_file(const Operation& operation) const;
  [[nodiscard]] std::string name_of(const Operation& operation) const;
  [[nodiscard]] const schedule::Extent& extent_of(const Operation& operation) const {
    return map_.extents[static_cast<std::size_t>(operation.extent)];
  }

  const Options options_;
  const schedule::Map& map_;
  store::Store& store_;
  SlotTable& slots_;
  const Places places_;
  TaskSink& sink_;
  Throttle throttle_;
  std::mutex mutex_;
  std::condition_variable changed_;
  ReadyQueue queue_;
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<Operation*> idle_;
  std::vector<Operation*> arrived_;  // done, but to be verified, or held back until they are due (emulated rate)
  bool stopping_ = false;
  std::thread dispatcher_;
};

}  // namespace gsnake::runtime
