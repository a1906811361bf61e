// Graphs run on symbols: what each task must find, and what it leaves.
#pragma once

#include <vector>

#include "audit/kept_activations.h"
#include "audit/report.h"
#include "audit/symbols.h"

namespace gsnake::audit {

using schedule::Access;
using schedule::Chunk;
using schedule::Graph;
using schedule::Map;
using schedule::Role;
using schedule::Task;
using schedule::TaskId;

// Executes tasks one at a time, in any order that it is given.
class Execution {
 public:
  // The sequence is borrowed.
  explicit Execution(const Sequence& sequence);

  // The graph is started: its batch is put into its slot, whatever still runs.
  void start(std::size_t graph);
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
  // Of a chunk's parts as they stand in their extents, does `work(extent, bytes, value)`: its weights and its states after `updates` of them.
  template <typename Work>
  void for_state(int chunk, int updates, const Work& work) const;
  [[nodiscard]] Fate fate(int step) const;
  [[nodiscard]] int applied(int steps) const;             // updates of the first so many training steps
  [[nodiscard]] int applied(int chunk, int steps) const;  // to the chunk: none, if it is frozen
  [[nodiscard]] bool carried_out(const Stage& stage, const Task& task) const;
  void undo(const Stage& stage, const Task& task);
  void expect_outcome(const Stage& stage, TaskId id, int step);
  void move(const Stage& stage, TaskId id);
  void move_between_ranks(const Stage& stage, TaskId id);
  void update(const Stage& stage, TaskId id);
  void add(const Stage& stage, TaskId id);
  void norm(const Stage& stage, TaskId id);
  void note_norms(const Stage& stage, TaskId id);
  void note_greatest(const Stage& stage, TaskId id, int step);
  void inspect(const Stage& stage, TaskId id);
  void expect_inspected(const Stage& stage, TaskId id, int step);
  [[nodiscard]] bool updates_on_device(bool late) const;
  void conclude(const Stage& stage, TaskId id);
  void compute(const Stage& stage, TaskId id);
  void commit(const Stage& stage, TaskId id);
  template <typename Work>
  void for_places(int object, std::uint64_t part_bytes, const Work& work) const;
  void check_weights(const Stage& stage, TaskId id, int use);
  void accumulate(const Stage& stage, TaskId id, int use);
  void check_activation(const Stage& stage, TaskId id, Role role, const Value& expected);
  void check_ids(const Stage& stage, TaskId id);
  void check_carried(const Stage& stage);
  void check_flushed(const Stage& stage);

  // The value that an access finds or leaves.
  [[nodiscard]] const Value* value_of(const Stage& stage, const Access& access, std::uint64_t bytes) const;
  void write(const Stage& stage, const Access& access, std::uint64_t bytes, const Value& value);
  void expect(const Stage& stage, TaskId id, const Access& access, std::uint64_t bytes, const Value& expected);
  [[nodiscard]] Value finished_gradient(int chunk, int step) const;
  [[nodiscard]] const Chunk& chunk(int index) const { return map_.chunks[static_cast<std::size_t>(index)]; }
  [[nodiscard]] int chunk_count() const { return static_cast<int>(map_.chunks.size()); }
  [[nodiscard]] std::size_t user_of(int object, int unit) const;
  [[nodiscard]] int activation_index(int unit, int micro_batch) const { return unit * map_.problem.micro_batches + micro_batch; }

  const Map& map_;
  std::vector<Stage> stages_;
  const std::vector<Fate>& fates_;
  Contents contents_;
  Contents committed_;  // of extents, when state was committed last
  Sums sums_;
  KeptActivations kept_;
  const std::vector<std::vector<int>> users_;  // by object
  std::vector<int> finished_sum_;              // by object: what its gradient must be the sum of
  Reporter report_;
};

}  // namespace gsnake::audit
