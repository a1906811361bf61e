// Speaks up when something that is waited for takes long.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace gsnake::run {

// One thread waits, at most one wait at a time; a thread of the heartbeat's own watches it. A wait costs two uncontended locks and wakes
// nobody: the watching thread looks only as often as a report could be due.
class Heartbeat {
 public:
  struct Timing {
    std::chrono::milliseconds first{10'000};  // from a wait's begin to the first report
    std::chrono::milliseconds every{30'000};  // between reports of one wait
  };
  // Called on the heartbeat's thread with the seconds waited so far; the wait does not end before it returns. It must not throw.
  using Report = std::function<void(double waited_seconds)>;

  explicit Heartbeat(Report report) : Heartbeat(std::move(report), Timing()) {}
  Heartbeat(Report report, Timing timing);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // A wait, from construction to destruction.
  class Wait {
   public:
    explicit Wait(Heartbeat& heartbeat) : heartbeat_(heartbeat) { heartbeat_.begin(); }
    ~Wait() { heartbeat_.end(); }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    Heartbeat& heartbeat_;
  };

 private:
  using Clock = std::chrono::steady_clock;

  void begin();
  void end();
  void watch();

  const Report report_;
  const Timing timing_;
  std::mutex mutex_;
  std::condition_variable stop_asked_;
  bool stop_ = false;
  std::optional<Clock::time_point> began_;  // the wait that goes on
  Clock::time_point due_;                   // of its next report
  std::thread thread_;                      // last: it uses all of the above
};

}  // namespace gsnake::run
