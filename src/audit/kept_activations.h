// What the device keeps of forward passes while a walk goes on: made once, used up once, in the same graph, and never more than are paid for.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "audit/report.h"
#include "schedule/kept.h"

namespace gsnake::audit {

class KeptActivations {
 public:
  explicit KeptActivations(const schedule::Problem& problem) : most_(schedule::kept_at_once(problem)), held_(most_.size(), 0) {}

  // A forward or backward task of the walk's graph `index` that keeps, or was kept for.
  void run(const Graph& graph, int index, TaskId id, Reporter& report) {
    const Task& task = graph.tasks[static_cast<std::size_t>(id)];
    const auto unit = static_cast<std::size_t>(task.unit);
    const Pass pass{index, task.unit, task.micro_batch};
    if (task.op == schedule::Op::forward) {
      if (!alive_.insert(pass).second) report(name_of(graph, id) + " keeps its activations twice");
      if (++held_[unit] > most_[unit]) report(name_of(graph, id) + " keeps more than the device has memory for");
    } else if (alive_.erase(pass) == 1) {
      --held_[unit];
    } else {
      report(name_of(graph, id) + " finds no activations of its forward pass");
    }
  }
  void check_end(Reporter& report) const {
    for (const Pass& pass : alive_)
      report("at the end, activations of unit " + std::to_string(pass.unit) + ", micro-batch " + std::to_string(pass.micro_batch) + " are still kept");
  }

 private:
  struct Pass {
    int graph = 0;
    int unit = 0;
    int micro_batch = 0;
    auto operator<=>(const Pass&) const = default;
  };

  std::vector<int> most_;  // by unit
  std::vector<int> held_;
  std::set<Pass> alive_;
};

}  // namespace gsnake::audit
