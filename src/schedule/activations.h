// Where hidden states and their gradients are while a graph is emitted: on the device for the next task, or stored by placement.
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "schedule/emitter.h"
#include "schedule/visits.h"

namespace gsnake::schedule {

enum class TensorKind : std::uint8_t { checkpoint, gradient };

// The input of unit `unit` (1..U-1) for one micro-batch, or the gradient of that input.
struct Tensor {
  TensorKind kind = TensorKind::checkpoint;
  int unit = 0;
  int micro_batch = 0;
  bool operator<(const Tensor& o) const { return std::tie(kind, unit, micro_batch) < std::tie(o.kind, o.unit, o.micro_batch); }
  bool operator==(const Tensor& o) const { return kind == o.kind && unit == o.unit && micro_batch == o.micro_batch; }
};

class ActivationTasks {
 public:
  ActivationTasks(Emitter& emitter, const Map& map);

  int new_output() { return emitter_.acquire(device_pool_); }
  // After the task that wrote `buffer`. uses: how many tasks will consume it; next: the very next compute task is one of them, so it
  // stays on the device until then.
  void produced(const Tensor& tensor, int buffer, int uses, bool next);
  // The device buffer that holds it, fetched where need be.
  int consume(const Tensor& tensor);
  // After the task that consumed it.
  void consumed(const Tensor& tensor);

 private:
  struct State {
    int uses = 0;
    int device = -1;
    int host = -1;
    bool on_ssd = false;
  };
  [[nodiscard]] Tier tier(const Tensor& tensor) const { return map_.activation_tier[index(tensor)]; }
  [[nodiscard]] std::size_t index(const Tensor& t) const { return static_cast<std::size_t>((t.unit - 1) * map_.problem.micro_batches + t.micro_batch); }
  [[nodiscard]] int extent(const Tensor& t) const { return map_.activation_extent[index(t)] + (t.kind == TensorKind::gradient ? 1 : 0); }
  void store(const Tensor& tensor, State& state);
  void move(const Tensor& tensor, Op op, Lane lane, int source, int destination);

  Emitter& emitter_;
  const Map& map_;
  int device_pool_ = -1;
  int host_pool_ = -1;
  std::map<Tensor, State> states_;
};

}  // namespace gsnake::schedule
