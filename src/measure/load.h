// Work that goes on in the background while its rate, and that of other work beside it, is observed.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace gsnake::measure {

// Seconds of processor time that the whole process has taken, kernel threads that work for it included.
double process_seconds();

// Seconds of processor time that this machine's programs have taken, this one among them; 0 where the kernel does not tell.
double machine_seconds();

// What was done so far, and when the last of it was done.
struct Tally {
  double amount = 0.0;  // bytes, or pieces of work
  std::uint64_t events = 0;
  std::int64_t at_ns = 0;  // of the steady clock
};

// Thread-safe.
class Counter {
 public:
  void add(double amount) noexcept;
  [[nodiscard]] Tally read() const noexcept;

 private:
  mutable std::mutex mutex_;
  Tally tally_;
};

// Threads that work from now on until this is destroyed, which waits for them.
class Load {
 public:
  // One thread: returns soon after it was asked to stop. What it throws is what observe() throws.
  using Body = std::function<void(const std::stop_token&, Counter&)>;

  // `what` for messages ("reads of /nvme0"). `settles_after`: events until it is at its usual rate.
  Load(std::string what, std::vector<Body> bodies, std::uint64_t settles_after = 1);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  [[nodiscard]] const std::string& what() const noexcept { return what_; }
  [[nodiscard]] std::uint64_t settles_after() const noexcept { return settles_after_; }
  [[nodiscard]] Tally tally() const noexcept { return counter_.read(); }
  void rethrow() const;  // what ended one of the threads

 private:
  void run(const Body& body, const std::stop_token& stop) noexcept;

  const std::string what_;
  const std::uint64_t settles_after_;
  Counter counter_;
  mutable std::mutex mutex_;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_;
};

// Calls `once`, which returns how much it did, over and over.
Load::Body repeated(std::function<double()> once);

// How long to look: `seconds`, longer where too few events came in that time, but at most `most_seconds`; the same for a fifth of `seconds`
// before it, in which loads settle.
struct Patience {
  double seconds = 0.5;
  double most_seconds = 5.0;
};

struct Observation {
  std::vector<double> per_second;  // of each load: amount between two of its events, over the time between them
  double cores = 0.0;              // processor seconds of the whole process a second
};

// Of loads that are under way together. Throws what a load threw; Error(storage) where one did nothing in all that time.
Observation observe(std::span<const Load* const> loads, const Patience& patience);

}  // namespace gsnake::measure
