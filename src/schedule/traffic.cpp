#include "schedule/traffic.h"

#include <algorithm>

#include "greedysnake/error.h"
#include "schedule/kept.h"

namespace gsnake::schedule {
namespace {

// Cells of one object by where they are, of those that this rank owns.
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
  std::uint64_t looked_at_on_device = 0;       // of the delayed: whose norm is taken there
  // Updated on the device: eager and delayed; all of these; of them those whose weights, and state, stay there.
  DeviceUpdates updated;
  std::uint64_t all_updated = 0;
  std::uint64_t updated_weights_on_device = 0;
  std::uint64_t updated_states_on_device = 0;
};

// Of the cells that the device updates, those that come before `end`.
std::uint64_t updated_before(const Parts& parts, std::uint64_t end) {
  const std::uint64_t late_begin = parts.all - parts.delayed;
  const std::uint64_t late = end > late_begin ? std::min(parts.updated.late, end - late_begin) : 0;
  return std::min(parts.updated.eager, end) + late;
}

Parts parts_of(const Problem& p, const Object& object, std::size_t users) {
  Parts parts;
  const std::uint64_t all = object.range().cells;
  const auto on_ssd = [&](const Fractions& f) { return all - rounded_part(std::min(1.0, f.device + f.host), all, object.grain()); };
  parts.all = all;
  parts.weights_on_device = rounded_part(p.weights.device, all, object.grain());
  parts.weights_on_ssd = on_ssd(p.weights);
  if (!object.trained) return parts;
  parts.delayed = rounded_part(p.delay, all);
  parts.states_on_device = rounded_part(p.optimizer.device, all);
  parts.states_on_ssd = on_ssd(p.optimizer);
  parts.delayed_gradients_on_ssd = parts.delayed - rounded_part(p.gradients_host, parts.delayed);
  // Of the eager elements, those beyond the host fraction of the whole object.
  const std::uint64_t eager = all - parts.delayed;
  parts.partial_sums_on_ssd = parts.delayed_gradients_on_ssd + (eager - std::min(eager, rounded_part(p.gradients_host, all)));
  parts.waiting_gradients_on_ssd = p.guard == Guard::speculative ? parts.partial_sums_on_ssd : parts.delayed_gradients_on_ssd;
  parts.looked_at_on_device = looks_on_device(p, users) ? parts.delayed : 0;
  parts.updated = device_updates(p, object, users);
  parts.all_updated = parts.updated.eager + parts.updated.late;
  parts.updated_weights_on_device = updated_before(parts, parts.weights_on_device);
  parts.updated_states_on_device = updated_before(parts, parts.states_on_device);
  return parts;
}

// How often a pass of one kind visits each unit.
std::uint64_t rounds(const Problem& p) { return p.schedule == ScheduleKind::horizontal ? static_cast<std::uint64_t>(p.micro_batches) : 1; }

// Of an object that these units use: forward and, but for the head, which does both at once, backward.
std::uint64_t training_fetches(const Problem& p, const std::vector<int>& users) {
  const int first_backward = first_trained_unit(p);
  std::uint64_t fetches = 0;
  for (int unit : users) fetches += unit + 1 < p.unit_count() && unit >= first_backward ? 2 : 1;
  return rounds(p) * fetches;
}

// Bytes of a slot for the whole of an object, where it comes from several ranks.
std::uint64_t shared_bytes(const Problem& p, const Object& object, std::uint64_t width) {
  return p.ranks == 1 ? 0 : static_cast<std::uint64_t>(p.ranks) * part_cells(object, p.ranks) * width;
}

// The first fetch of a carried object finds its SSD part in host memory, where the step before left it.
Bytes training_weights(const Problem& p, const Object& object, const Parts& parts, std::uint64_t fetches, bool carried) {
  const std::uint64_t width = object.cell_bytes();
  Bytes bytes;
  bytes.ssd_read = width * parts.weights_on_ssd * (fetches - (carried ? 1 : 0));
  bytes.h2d = width * parts.all * fetches;
  bytes.collective = shared_bytes(p, object, width) * fetches;
  if (!object.trained) return bytes;
  // Where weights are derived, the delayed ones go to the forward pass as its update makes them. Both parts are an object's back.
  if (object.weights_derived && !carried) bytes.ssd_read -= width * std::min(parts.delayed, parts.weights_on_ssd);
  bytes.ssd_write = width * parts.weights_on_ssd;
  // A device part goes to its slot by this lane too. What is updated where it is stays there, what comes for its update goes back.
  const std::uint64_t visits_host = parts.weights_on_device - parts.updated_weights_on_device;
  const std::uint64_t visits_device = parts.all_updated - parts.updated_weights_on_device;
  bytes.h2d += width * (visits_host + (object.weights_derived ? 0 : visits_device));
  bytes.d2h = width * ((object.weights_derived ? 0 : visits_host) + visits_device);
  bytes.optimizer = (object.weights_derived ? 1 : 2) * width * (parts.all - parts.all_updated);
  bytes.compute = (object.weights_derived ? 1 : 2) * width * parts.all_updated;
  return bytes;
}

Bytes training_states(const Object& object, const Parts& parts) {
  std::uint64_t width = 0;
  for (std::uint64_t state : object.state_bytes) width += state;
  Bytes bytes;
  bytes.ssd_read = bytes.ssd_write = width * parts.states_on_ssd;
  const std::uint64_t visit = parts.states_on_device + parts.all_updated - 2 * parts.updated_states_on_device;  // the other memory
  bytes.h2d = bytes.d2h = width * visit;
  bytes.optimizer = 2 * width * (parts.all - parts.all_updated);
  bytes.compute = 2 * width * parts.all_updated;
  return bytes;
}

Bytes finished_gradients(const Problem& p, const Parts& parts) {
  Bytes bytes;
  const std::uint64_t stay = p.guard == Guard::speculative ? 0 : parts.updated.eager;
  bytes.d2h = kGradientBytes * (parts.all - stay);
  bytes.h2d = kGradientBytes * parts.updated.late;
  bytes.ssd_read = kGradientBytes * parts.delayed_gradients_on_ssd;
  bytes.ssd_write = kGradientBytes * parts.waiting_gradients_on_ssd;
  // The update reads it; a delayed one's norm reads it before.
  bytes.optimizer = kGradientBytes * (parts.all - parts.all_updated + parts.delayed - parts.looked_at_on_device);
  bytes.compute = kGradientBytes * (parts.all_updated + parts.looked_at_on_device);
  // What the device found on the way.
  bytes.d2h += (parts.updated.eager + parts.looked_at_on_device) / kGrain * sizeof(double) + kGreatestBytes * ((parts.updated.eager > 0 ? 1 : 0) + (parts.updated.late > 0 ? 1 : 0));
  return bytes;
}

// shares: the object's users beside the first, all of whose sums are put by. Of several ranks, what waits never goes back to the device: what comes is
// added to it.
Bytes partial_sums(const Problem& p, const Parts& parts, std::uint64_t shares) {
  const std::uint64_t saved = rounds(p) - 1 + rounds(p) * shares;
  const std::uint64_t restored = saved - shares;  // a share's last sum is added in host memory
  Bytes bytes;
  bytes.d2h = kGradientBytes * parts.all * saved;
  bytes.h2d = p.ranks > 1 ? 0 : kGradientBytes * parts.all * restored;
  bytes.ssd_read = bytes.ssd_write = kGradientBytes * parts.partial_sums_on_ssd * saved;
  bytes.optimizer = 3 * kGradientBytes * parts.all * (p.ranks > 1 ? saved : shares);
  return bytes;
}

Bytes commits(const Problem& p, const Object& object, const Parts& parts) {
  Bytes bytes;
  if (!p.commits) return bytes;
  bytes.ssd_write = object.cell_bytes() * (parts.all - parts.weights_on_ssd);
  bytes.d2h = object.cell_bytes() * parts.updated_weights_on_device;
  for (std::uint64_t state : object.state_bytes) {
    bytes.ssd_write += state * (parts.all - parts.states_on_ssd);
    bytes.d2h += state * parts.updated_states_on_device;
  }
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
  const int last = p.unit_count() - 1;
  const int first_backward = training ? first_trained_unit(p) : p.unit_count();
  const std::vector<bool> kept = kept_passes(p);
  ActivationSum sum(p);
  std::size_t index = 0;
  for (int unit = 1; unit <= last; ++unit) {
    for (int m = 0; m < p.micro_batches; ++m, ++index) {
      const bool recomputed = unit < last && unit >= first_backward && !kept[static_cast<std::size_t>(unit * p.micro_batches + m)];
      const std::uint64_t uses = recomputed ? 2 : 1;  // forward and recomputation; the head does both at once
      sum.add(tiers[index], uses - (handed_over(p, turn, unit - 1, m) ? 1 : 0));
      if (unit > first_backward) sum.add(tiers[index], handed_over(p, turn, 2 * last - unit, m) ? 0 : 1);  // the gradient
    }
  }
  return sum.bytes();
}

// The embedding reads its ids and the head its labels; backward reads the ids again where it comes down to the embedding.
Bytes batch(const Problem& p, bool training) {
  const auto micro_batches = static_cast<std::uint64_t>(p.micro_batches);
  Bytes bytes;
  bytes.h2d = (training && first_trained_unit(p) == 0 ? 3 : 2) * p.ids_bytes * micro_batches;
  bytes.d2h = p.result_bytes * micro_batches;
  return bytes;
}

}  // namespace

Bytes& Bytes::operator+=(const Bytes& other) {
  ssd_read += other.ssd_read;
  ssd_write += other.ssd_write;
  h2d += other.h2d;
  d2h += other.d2h;
  optimizer += other.optimizer;
  collective += other.collective;
  compute += other.compute;
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
    case Lane::collective:
      return collective;
    case Lane::compute:
      return compute;
    case Lane::commit:
      break;
  }
  return 0;
}

Bytes StepTraffic::total() const {
  Bytes sum;
  for (const Bytes* term : {&weights, &optimizer_state, &gradients, &partial_sums, &activations, &batch, &commits}) sum += *term;
  return sum;
}

StepTraffic training_traffic(const Problem& problem) {
  validate(problem);
  if (!problem.trains()) throw Error(ErrorKind::usage, "schedule: no training traffic for a problem in which nothing is trained");
  const std::vector<std::vector<int>> users = users_of(problem);
  const std::vector<bool> carried = carried_objects(problem);
  StepTraffic traffic;
  for (std::size_t i = 0; i < problem.objects.size(); ++i) {
    const Object& object = problem.objects[i];
    const Parts parts = parts_of(problem, object, users[i].size());
    traffic.weights += training_weights(problem, object, parts, training_fetches(problem, users[i]), carried[i]);
    if (!object.trained) continue;
    traffic.optimizer_state += training_states(object, parts);
    traffic.gradients += finished_gradients(problem, parts);
    traffic.gradients.collective += shared_bytes(problem, object, kGradientBytes) * rounds(problem) * users[i].size();
    traffic.partial_sums += partial_sums(problem, parts, users[i].size() - 1);
    traffic.commits += commits(problem, object, parts);
  }
  traffic.activations = activations(problem, true);
  traffic.batch = batch(problem, true);
  return traffic;
}

StepTraffic validation_traffic(const Problem& problem) {
  validate(problem);
  const std::vector<std::vector<int>> users = users_of(problem);
  const std::vector<bool> carried = carried_objects(problem);
  StepTraffic traffic;
  for (std::size_t i = 0; i < problem.objects.size(); ++i) {
    const Object& object = problem.objects[i];
    const Parts parts = parts_of(problem, object, users[i].size());
    if (!carried[i]) traffic.weights.ssd_read += object.cell_bytes() * parts.weights_on_ssd * users[i].size();
    traffic.weights.h2d += object.cell_bytes() * parts.all * users[i].size();
    traffic.weights.collective += shared_bytes(problem, object, object.cell_bytes()) * users[i].size();
  }
  traffic.activations = activations(problem, false);
  traffic.batch = batch(problem, false);
  return traffic;
}

}  // namespace gsnake::schedule
