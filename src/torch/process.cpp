#include "torch/process.h"

#include <ATen/Parallel.h>

#include <mutex>
#include <optional>
#include <string>

#include "core/threads.h"
#include "greedysnake/error.h"

namespace gsnake::backend {
namespace {

std::mutex mutex;
std::weak_ptr<const ProcessSettings> in_force;
std::optional<int> threads_of_program;  // while it is not what is in force

// A thread that is new has the number that all new ones get; the caller's own number is left alone.
int set_for_new_threads(int threads) {
  return core::on_own_thread([threads] {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    return before;
  });
}

}  // namespace

ProcessSettings::ProcessSettings(int threads) : threads_(threads) {
  const int before = set_for_new_threads(threads);
  if (!threads_of_program) threads_of_program = before;
}

ProcessSettings::~ProcessSettings() {
  const std::lock_guard lock(mutex);
  if (!in_force.expired()) return;  // others have come meanwhile, and their number is set
  set_for_new_threads(*threads_of_program);
  threads_of_program.reset();
}

std::shared_ptr<const ProcessSettings> ProcessSettings::use(int threads) {
  const std::lock_guard lock(mutex);
  if (std::shared_ptr<const ProcessSettings> found = in_force.lock()) {
    if (found->threads_ == threads) return found;
    throw Error(ErrorKind::usage, "train.compute_threads: another trainer or generator of this process computes with " + std::to_string(found->threads_) + " threads, and this one would with " +
                                      std::to_string(threads) + "; give both the same number, or end the other one first");
  }
  std::shared_ptr<const ProcessSettings> made(new ProcessSettings(threads));
  in_force = made;
  return made;
}

}  // namespace gsnake::backend
