// Calls into the library that take long: without the interpreter's lock, and with Ctrl-C.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "greedysnake/choices.h"
#include "greedysnake/error.h"
#include "raised.h"

namespace gsnake::python {

template <typename Call>
auto unlocked_call(Call&& call) {
  const nanobind::gil_scoped_release unlocked;
  return call();
}

// Throws Error(usage) that names the argument.
template <typename Choice>
Choice choice(const char* argument, const std::string& word) {
  if (const std::optional<Choice> found = choice_of<Choice>(word)) return *found;
  throw Error(ErrorKind::usage, std::string(argument) + " = '" + word + "': it must be one of " + listed_words<Choice>());
}

// Thrown by told() once the caller was interrupted; what the caller's own handler raised stands in its place in the end.
struct Interrupted {};

// Work that tells how far it is, on a thread of its own, while the caller looks for Ctrl-C: an exception of its handler's ends the work where it next tells.
class Interruptible {
 public:
  // `progress`: a callable of (what, done, total), called on the work's threads, or None. What it raises ends the work as well.
  explicit Interruptible(nanobind::handle progress) : progress_(nanobind::borrow(progress)) {}

  void told(const std::string& what, std::uint64_t done, std::uint64_t total) const {
    if (interrupted_) throw Interrupted();
    if (progress_.is_none()) return;
    in_python([&] { progress_(what, done, total); });
  }

  // The interpreter's lock is held before and after. Returns or throws as `work` does.
  template <typename Work>
  auto run(Work&& work) {
    std::packaged_task<decltype(work())()> task(std::forward<Work>(work));
    auto result = task.get_future();
    std::optional<nanobind::python_error> raised;
    {
      const nanobind::gil_scoped_release unlocked;
      std::thread thread(std::move(task));
      while (result.wait_for(kLookEvery) != std::future_status::ready) {
        const nanobind::gil_scoped_acquire lock;
        if (raised || PyErr_CheckSignals() == 0) continue;
        raised.emplace();
        interrupted_ = true;
      }
      thread.join();
    }
    if (!raised) return result.get();
    try {
      result.get();  // over all the same; what it made goes again
    } catch (...) {  // that it was interrupted
    }
    throw std::move(*raised);
  }

 private:
  static constexpr std::chrono::milliseconds kLookEvery{50};
  nanobind::object progress_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace gsnake::python
