// Writes tasks down in one sequence and derives their edges from what each reads and writes.
#pragma once

#include <deque>
#include <initializer_list>
#include <vector>

#include "schedule/graph.h"

namespace gsnake::schedule {

// A slot is a register: acquired, used by tasks, released, all in emission order. That a slot is free again becomes an ordinary edge from its last
// users to its next one, so every schedule is acyclic, and the fewest slots that do are known when the graph is built.
class Emitter {
 public:
  // Counting: notes how many slots are live at once and builds no graph.
  enum class Purpose : std::uint8_t { graph, counting };

  Emitter(const Map& map, Variant variant, Purpose purpose);

  // The slot that has been free longest. Throws Error(budget) when none is.
  int acquire(int pool);
  void release(int buffer);
  TaskId add(Task task, std::initializer_list<Access> accesses) { return add(task, {accesses.begin(), accesses.size()}); }
  TaskId add(Task task, std::span<const Access> accesses);

  // Ends the graph. `carried`: the buffers that hold the carried weights, in chunk order.
  Graph finish(const std::vector<int>& carried);
  [[nodiscard]] const PoolSizes& peak() const { return peak_; }

 private:
  void order_after(const Access& access, TaskId id);
  void note(const Access& access, TaskId id);
  void depend(TaskId id, TaskId on);
  void set_priorities();
  void set_successors();

  struct Tracked {
    TaskId writer = -1;
    std::vector<TaskId> readers;  // since the last write
  };

  const Map& map_;
  const bool counting_;
  Graph graph_;
  std::vector<Tracked> tracked_;           // by resource
  std::vector<std::deque<int>> free_;      // by pool
  std::vector<int> live_;
  PoolSizes peak_;
  std::vector<Edge> edges_;
  std::vector<TaskId> sources_;            // of the task being added, without duplicates
  std::vector<TaskId> last_follower_;      // by task: the newest one that was made to wait for it
};

}  // namespace gsnake::schedule
