// What every buffer and extent holds while graphs run on symbols: the audit's model of memory.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "audit/report.h"

namespace gsnake::audit {

using schedule::Access;
using schedule::Graph;
using schedule::Map;
using schedule::Role;
using schedule::Task;
using schedule::TaskId;

enum class Holds : std::uint8_t { weight, state, gradient, checkpoint, hidden_gradient, norms, losses, outcome };

// One symbol. Two are equal when the bytes they stand for are.
struct Value {
  Holds holds = Holds::weight;
  int index = 0;    // chunk; state: chunk * kMaxStates + k; checkpoint, hidden_gradient: unit * M + m; losses: m
  int version = 0;  // weight, state: updates applied; gradient, norms, outcome: training step; the others: graph of the sequence
  int own = 0;      // gradient: micro-batches summed by the unit itself, a list of Sums; weight, state: 1 when the last update was not as its outcome asks
  int head = 0;     // gradient: by the head that shares the object

  bool operator==(const Value&) const = default;
};

std::string describe(const Value* value);

// Lists of micro-batches in the order in which they were added, as numbers; 0 is the empty list.
class Sums {
 public:
  int append(int sum, int micro_batch);

 private:
  std::map<std::pair<int, int>, int> next_;
};

class Contents {
 public:
  explicit Contents(int resources) : runs_(static_cast<std::size_t>(resources)) {}

  // What was written to exactly these bytes and not overwritten since, in whole or in part; nullptr where there is none.
  [[nodiscard]] const Value* at(int resource, std::uint64_t offset, std::uint64_t bytes) const;
  void write(int resource, std::uint64_t offset, std::uint64_t bytes, const Value& value);

 private:
  struct Run {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    Value value;
  };
  std::vector<std::vector<Run>> runs_;  // by resource
};

// Executes tasks one at a time, in any order that it is given.
class Execution {
 public:
  // The sequence is borrowed.
  explicit Execution(const Sequence& sequence);

  void run(std::size_t graph, TaskId id);
  // The whole sequence has run: what a following graph would adopt, and after finish what extents must hold.
  void check_end();
  [[nodiscard]] bool stopped() const { return report_.full(); }
  Findings take() { return report_.take(); }

 private:
  struct Stage {
    const Graph* graph = nullptr;
    std::vector<int> physical;  // by resource, in the names of the first graph
    int index = 0;
    int steps_before = 0;  // training steps of earlier graphs
  };

  void expect_sums();
  void write_initial_state();
  [[nodiscard]] Fate fate(int step) const;
  [[nodiscard]] int applied(int steps) const;  // updates of the first so many training steps
  [[nodiscard]] bool carried_out(const Stage& stage, const Task& task) const;
  void undo(const Stage& stage, const Task& task);
  void expect_outcome(const Stage& stage, TaskId id, int step);
  void move(const Stage& stage, TaskId id);
  void update(const Stage& stage, TaskId id);
  void add(const Stage& stage, TaskId id);
  void norm(const Stage& stage, TaskId id);
  void note_norms(const Stage& stage, TaskId id);
  void conclude(const Stage& stage, TaskId id);
  void compute(const Stage& stage, TaskId id);
  void commit(const Stage& stage, TaskId id);
  void check_weights(const Stage& stage, TaskId id, Role role, int object);
  void accumulate(const Stage& stage, TaskId id, Role role, int object, bool first);
  void check_activation(const Stage& stage, TaskId id, Role role, const Value& expected);
  void check_carried(const Stage& stage);
  void check_flushed(const Stage& stage);

  // The value that an access finds or leaves.
  [[nodiscard]] const Value* value_of(const Stage& stage, const Access& access, std::uint64_t bytes) const;
  void write(const Stage& stage, const Access& access, std::uint64_t bytes, const Value& value);
  void expect(const Stage& stage, TaskId id, const Access& access, std::uint64_t bytes, const Value& expected);
  [[nodiscard]] Value finished_gradient(int chunk, int step) const;
  [[nodiscard]] int activation_index(int unit, int micro_batch) const { return unit * map_.problem.micro_batches + micro_batch; }

  const Map& map_;
  std::vector<Stage> stages_;
  const std::vector<Fate>& fates_;
  Contents contents_;
  Contents committed_;  // of extents, when state was committed last
  Sums sums_;
  std::vector<int> own_sum_;  // by object: what a finished gradient must hold
  std::vector<int> head_sum_;
  Reporter report_;
};

}  // namespace gsnake::audit
