#include "schedule/traffic.h"

#include <algorithm>

#include "greedysnake/error.h"

namespace gsnake::schedule {
namespace {

constexpr std::uint64_t kGradientBytes = 4;

// Elements of one object by where they are.
struct Parts {
  std::uint64_t all = 0;
  std::uint64_t delayed = 0;
  std::uint64_t weights_on_device = 0;
  std::uint64_t weights_on_ssd = 0;
  std::uint64_t states_on_device = 0;
  std::uint64_t states_on_ssd = 0;
  std::uint64_t waiting_gradients_on_ssd = 0;  // written
  std::uint64_t delayed_gradients_on_ssd = 0;  // and read again
  std::uint64_t partial_sums_on_ssd = 0;
};

Parts parts_of(const Problem& p, int object) {
  Parts parts;
  const std::uint64_t all = padded_elements(p.elements[object]);
  const auto on_ssd = [all](const Fractions& f) { return all - rounded_part(std::min(1.0, f.device + f.host), all); };
  parts.all = all;
  parts.delayed = p.trains() ? rounded_part(p.delay, all) : 0;
  parts.weights_on_device = rounded_part(p.weights.device, all);
  parts.weights_on_ssd = on_ssd(p.weights);
  parts.states_on_device = rounded_part(p.optimizer.device, all);
  parts.states_on_ssd = on_ssd(p.optimizer);
  parts.delayed_gradients_on_ssd = parts.delayed - rounded_part(p.gradients_host, parts.delayed);
  // Of the eager elements, those beyond the host fraction of the whole object.
  const std::uint64_t eager = all - parts.delayed;
  parts.partial_sums_on_ssd = parts.delayed_gradients_on_ssd + (eager - std::min(eager, rounded_part(p.gradients_host, all)));
  parts.waiting_gradients_on_ssd = p.guard == Guard::speculative ? parts.partial_sums_on_ssd : parts.delayed_gradients_on_ssd;
  return parts;
}

// How often a pass of one kind visits each unit.
std::uint64_t rounds(const Problem& p) { return p.schedule == ScheduleKind::horizontal ? static_cast<std::uint64_t>(p.micro_batches) : 1; }

bool is_tied(const Problem& p, int object) { return p.tied && object == 0; }

// The first fetch of object 0 finds its SSD part in host memory, where the step before left it.
Bytes training_weights(const Problem& p, const Parts& parts, int object) {
  const bool head = object + 1 == p.units();
  const std::uint64_t fetches = rounds(p) * ((head ? 1 : 2) + (is_tied(p, object) ? 1 : 0));
  const std::uint64_t width = p.weight_bytes;
  Bytes bytes;
  bytes.ssd_read = width * parts.weights_on_ssd * (fetches - (object == 0 ? 1 : 0));
  // Where weights are derived, the delayed ones go to the forward pass as its update makes them. Both parts are an object's back.
  if (p.weights_derived && object > 0) bytes.ssd_read -= width * std::min(parts.delayed, parts.weights_on_ssd);
  bytes.ssd_write = width * parts.weights_on_ssd;
  bytes.h2d = width * (parts.all * fetches + parts.weights_on_device);  // a device part goes to its slot by this lane too
  bytes.d2h = p.weights_derived ? 0 : width * parts.weights_on_device;
  bytes.optimizer = (p.weights_derived ? 1 : 2) * width * parts.all;
  return bytes;
}

Bytes training_states(const Problem& p, const Parts& parts) {
  std::uint64_t width = 0;
  for (std::uint64_t state : p.state_bytes) width += state;
  Bytes bytes;
  bytes.ssd_read = bytes.ssd_write = width * parts.states_on_ssd;
  bytes.h2d = bytes.d2h = width * parts.states_on_device;
  bytes.optimizer = 2 * width * parts.all;
  return bytes;
}

Bytes finished_gradients(const Parts& parts) {
  Bytes bytes;
  bytes.d2h = kGradientBytes * parts.all;
  bytes.ssd_read = kGradientBytes * parts.delayed_gradients_on_ssd;
  bytes.ssd_write = kGradientBytes * parts.waiting_gradients_on_ssd;
  bytes.optimizer = kGradientBytes * (parts.all + parts.delayed);  // the update reads it; a delayed one's norm reads it before
  return bytes;
}

Bytes partial_sums(const Problem& p, const Parts& parts, int object) {
  const std::uint64_t shares = is_tied(p, object) ? rounds(p) : 0;  // of the head: every one is put by
  const std::uint64_t saved = rounds(p) - 1 + shares;
  const std::uint64_t restored = saved - (shares > 0 ? 1 : 0);  // the last share is added in host memory
  Bytes bytes;
  bytes.d2h = kGradientBytes * parts.all * saved;
  bytes.h2d = kGradientBytes * parts.all * restored;
  bytes.ssd_read = bytes.ssd_write = kGradientBytes * parts.partial_sums_on_ssd * saved;
  bytes.optimizer = shares > 0 ? 3 * kGradientBytes * parts.all : 0;
  return bytes;
}

Bytes commits(const Problem& p, const Parts& parts) {
  Bytes bytes;
  if (!p.commits) return bytes;
  bytes.ssd_write = p.weight_bytes * (parts.all - parts.weights_on_ssd);
  for (std::uint64_t state : p.state_bytes) bytes.ssd_write += state * (parts.all - parts.states_on_ssd);
  return bytes;
}

enum class Turn : std::uint8_t { always, never, snake };  // is a visit's last micro-batch the next one's first?

Turn turn_of(const Problem& p, bool vertical) {
  if (p.micro_batches == 1 || !vertical) return Turn::always;
  return p.order == Order::snake ? Turn::snake : Turn::never;
}

// Whether the task after the one that makes it consumes it. Visits with an even index ascend, so they end with the last micro-batch.
bool handed_over(const Problem& p, Turn turn, int producing_visit, int micro_batch) {
  if (turn != Turn::snake) return turn == Turn::always;
  return micro_batch == (producing_visit % 2 == 0 ? p.micro_batches - 1 : 0);
}

class ActivationSum {
 public:
  explicit ActivationSum(const Problem& problem) : tensor_((problem.activation_bytes + kAlignment - 1) / kAlignment * kAlignment) {}

  // Of one tensor's uses, those that are not handed over fetch it; it is stored if there is one.
  void add(Tier tier, std::uint64_t fetches) {
    if (tier == Tier::device || fetches == 0) return;
    bytes_.d2h += tensor_;
    bytes_.h2d += fetches * tensor_;
    if (tier != Tier::ssd) return;
    bytes_.ssd_write += tensor_;
    bytes_.ssd_read += fetches * tensor_;
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  static constexpr std::uint64_t kAlignment = 4096;
  std::uint64_t tensor_;
  Bytes bytes_;
};

Bytes activations(const Problem& p, bool training) {
  const Turn turn = turn_of(p, !training || p.schedule == ScheduleKind::vertical);
  const std::vector<Tier> tiers = activation_tiers(p);
  const int last = p.units() - 1;
  ActivationSum sum(p);
  std::size_t index = 0;
  for (int unit = 1; unit <= last; ++unit) {
    for (int m = 0; m < p.micro_batches; ++m, ++index) {
      const std::uint64_t uses = training && unit < last ? 2 : 1;  // forward and recomputation; the head does both at once
      sum.add(tiers[index], uses - (handed_over(p, turn, unit - 1, m) ? 1 : 0));
      if (training) sum.add(tiers[index], handed_over(p, turn, 2 * last - unit, m) ? 0 : 1);  // the gradient
    }
  }
  return sum.bytes();
}

}  // namespace

Bytes& Bytes::operator+=(const Bytes& other) {
  ssd_read += other.ssd_read;
  ssd_write += other.ssd_write;
  h2d += other.h2d;
  d2h += other.d2h;
  optimizer += other.optimizer;
  return *this;
}

std::uint64_t Bytes::on(Lane lane) const {
  switch (lane) {
    case Lane::ssd_read:
      return ssd_read;
    case Lane::ssd_write:
      return ssd_write;
    case Lane::h2d:
      return h2d;
    case Lane::d2h:
      return d2h;
    case Lane::optimizer:
      return optimizer;
    case Lane::compute:
    case Lane::collective:
    case Lane::commit:
      break;
  }
  return 0;
}

Bytes StepTraffic::total() const {
  Bytes sum;
  for (const Bytes* term : {&weights, &optimizer_state, &gradients, &partial_sums, &activations, &commits}) sum += *term;
  return sum;
}

StepTraffic training_traffic(const Problem& problem) {
  validate(problem);
  if (!problem.trains()) throw Error(ErrorKind::usage, "schedule: no training traffic for a problem without optimizer states");
  StepTraffic traffic;
  for (int object = 0; object < problem.units(); ++object) {
    const Parts parts = parts_of(problem, object);
    traffic.weights += training_weights(problem, parts, object);
    traffic.optimizer_state += training_states(problem, parts);
    traffic.gradients += finished_gradients(parts);
    traffic.partial_sums += partial_sums(problem, parts, object);
    traffic.commits += commits(problem, parts);
  }
  traffic.activations = activations(problem, true);
  return traffic;
}

StepTraffic validation_traffic(const Problem& problem) {
  validate(problem);
  StepTraffic traffic;
  for (int object = 0; object < problem.units(); ++object) {
    const Parts parts = parts_of(problem, object);
    if (object > 0) traffic.weights.ssd_read += problem.weight_bytes * parts.weights_on_ssd;
    traffic.weights.h2d += problem.weight_bytes * parts.all * (is_tied(problem, object) ? 2 : 1);
  }
  traffic.activations = activations(problem, false);
  return traffic;
}

}  // namespace gsnake::schedule
