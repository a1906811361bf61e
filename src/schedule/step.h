// From a schedule's visits to a graph: which data moves when, around the compute tasks.
#pragma once

#include <functional>
#include <vector>

#include "schedule/activations.h"
#include "schedule/batch_tasks.h"
#include "schedule/chunk_tasks.h"
#include "schedule/visits.h"

namespace gsnake::schedule {

// Emits one graph of any variant; counting instead of building when asked to.
class StepEmitter {
 public:
  StepEmitter(const Map& map, Variant variant, Emitter::Purpose purpose);
  Graph emit();
  [[nodiscard]] const PoolSizes& peak() const { return emitter_.peak(); }

 private:
  using Work = std::function<void()>;

  // What is done beside a visit's computation, in groups: a task between ranks begins one. All ranks have as many groups, whatever is in them.
  struct Background {
    std::vector<std::vector<Work>> groups{1};
    void add(Work work) { groups.back().push_back(std::move(work)); }
    void begin_group() { groups.emplace_back(); }
  };
  static std::vector<Work> merge(Background a, Background b);

  // One object that a visit computes with.
  struct Use {
    int object = 0;
    std::size_t user = 0;         // which of the object's users the visit's unit is
    bool first = false;           // of the object in this graph
    bool last = false;
    bool gathers = false;         // a gradient
    bool first_gradient = false;  // of this user of the object
    bool last_gradient = false;   // of the object: its sum is finished
    int weights = -1;             // device slots while the visit lasts
    int accumulator = -1;
    int part = -1;                // of several ranks: while this one's weights, or gradients, are on their way
  };

  void emit_load();
  void emit_finish();
  void emit_visits();
  void emit_visit(std::size_t v, std::vector<Work> background);
  void emit_compute(std::size_t v, std::size_t i);
  [[nodiscard]] Task compute_task(const Visit& visit, std::size_t i) const;
  [[nodiscard]] std::vector<Access> object_accesses(std::size_t v, bool opens) const;
  void keep_output(std::size_t v, std::size_t i, int output);
  [[nodiscard]] bool next_consumes(std::size_t v, std::size_t i, const Tensor& tensor) const;

  void note_uses();
  [[nodiscard]] std::vector<Use> uses_of(const Visit& visit) const;
  [[nodiscard]] std::size_t turn() const;
  [[nodiscard]] bool differentiates(const Visit& visit) const { return training_ && visit.pass != Pass::forward; }
  [[nodiscard]] bool makes_gradient(const Visit& visit) const { return differentiates(visit) && visit.unit > map_.first_trained_unit; }
  [[nodiscard]] bool shares() const { return map_.problem.ranks > 1; }
  [[nodiscard]] bool carries(int chunk) const { return map_.carried[map_.chunks[chunk].object] && map_.chunks[chunk].weight_tier == Tier::ssd; }
  template <typename Do>
  void for_chunks_of(int object, const Do& work) const {
    for (int c = map_.first_chunk[object]; c < map_.first_chunk[object + 1]; ++c) work(c);
  }
  Background prepare(std::size_t v);         // fetches the visit's weights, and what it reads of the batch
  void prepare_weights(std::size_t v, Use& use, Background& work);
  void prepare_ids(std::size_t v, Background& work);
  void open_sums(std::size_t v);             // its gradient accumulators, with the sums that earlier visits left
  void look_at_sums(std::size_t v);
  Background settle(std::size_t v);          // takes its gradients away
  void settle_use(std::size_t v, Use& use, Background& work);
  void take_away(int chunk, const Use& use);
  [[nodiscard]] int part_slot(PoolRole role, int object);
  std::vector<int> carry_on();               // unit 0's weights stay for the next forward: their buffers, in chunk order

  const Map& map_;
  const Variant variant_;
  const bool training_;
  const bool pending_;
  Emitter emitter_;
  ChunkTasks chunks_;
  ActivationTasks activations_;
  BatchTasks batch_;
  std::vector<Visit> visits_;
  std::vector<std::vector<Use>> uses_;  // by visit
  std::vector<std::vector<int>> ids_;   // by visit and place of the micro-batch in it: device slots while they are needed
};

}  // namespace gsnake::schedule
