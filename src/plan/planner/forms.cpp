#include "plan/planner/forms.h"

#include <algorithm>
#include <utility>

#include "core/bytes.h"
#include "schedule/footprint.h"

namespace gsnake::plan {
namespace {

using schedule::Lane;
using schedule::Object;
using schedule::Problem;

constexpr double kGradient = schedule::kGradientBytes;

std::size_t at(Lane lane) { return static_cast<std::size_t>(lane); }

Form on_ssd(Term device, Term host) { return Form(1.0) - Form::of(device) - Form::of(host); }

// How often what an object's users need is brought to the device, and gradients of it are brought away.
struct Times {
  std::array<double, kPhases> fetches{};
  std::array<double, kPhases> sums{};
};

class Uses {
 public:
  explicit Uses(const Problem& problem)
      : users_(schedule::users_of(problem)),
        last_(problem.unit_count() - 1),
        first_backward_(schedule::first_trained_unit(problem)),
        rounds_(problem.schedule == schedule::ScheduleKind::horizontal ? problem.micro_batches : 1.0) {}

  [[nodiscard]] Times of(std::size_t object) const {
    const auto forward = static_cast<double>(users_[object].size());
    const auto backward = static_cast<double>(
        std::count_if(users_[object].begin(), users_[object].end(), [&](int unit) { return unit < last_ && unit >= first_backward_; }));
    return {{forward, (rounds_ - 1.0) * (forward + backward), backward}, {0.0, (rounds_ - 1.0) * forward, forward}};
  }
  [[nodiscard]] double users(std::size_t object) const { return static_cast<double>(users_[object].size()); }
  [[nodiscard]] double rounds() const { return rounds_; }
  [[nodiscard]] int first_backward() const { return first_backward_; }

 private:
  const std::vector<std::vector<int>> users_;
  const int last_;
  const int first_backward_;
  const double rounds_;
};

class TrafficForms {
 public:
  TrafficForms(const Problem& problem, double commit_every)
      : p_(problem),
        commit_every_(commit_every),
        uses_(problem),
        carried_(schedule::carried_objects(problem)),
        first_backward_(uses_.first_backward()),
        rounds_(uses_.rounds()) {}

  StepForms run() {
    for (std::size_t i = 0; i < p_.objects.size(); ++i) {
      const Object& object = p_.objects[i];
      cells_ = static_cast<double>(object.range().cells);
      add_fetches(i);
      if (!object.trained) continue;
      add_weights(object);
      add_states(object);
      add_gradients(schedule::looks_on_device(p_, static_cast<std::size_t>(uses_.users(i))));
      add_partial_sums(uses_.users(i) - 1.0);
      if (p_.commits) add_commits(object);
    }
    add_activations();
    add_batch();
    add_collectives();
    return forms_;
  }

 private:
  Form& form(Phase phase, Lane lane) { return forms_[static_cast<std::size_t>(phase)][at(lane)]; }

  // The delayed part of an update in the forward phase, the eager one in the backward phase.
  void add_by_delay(Lane lane, const Form& whole) {
    form(Phase::forward, lane) += p_.delay * whole;
    form(Phase::backward, lane) += (1.0 - p_.delay) * whole;
  }

  // Of what is kept on the device, that which the CPU updates; of what is not, that which the device does. As if neither had to do with the other.
  [[nodiscard]] Form stays_elsewhere(Term device) const { return (1.0 - p_.update_device) * Form::of(device); }
  [[nodiscard]] Form visits_device(Term device) const { return p_.update_device * (Form(1.0) - Form::of(device)); }

  // Likewise of what an update moves to or from SSD: `late` of it is delayed.
  void add_by_lateness(Lane lane, double bytes, const Form& ssd, const Form& late) {
    form(Phase::forward, lane) += bytes * late;
    form(Phase::backward, lane) += bytes * (ssd - late);
  }

  void add_fetches(std::size_t i) {
    const Object& object = p_.objects[i];
    const double bytes = static_cast<double>(object.cell_bytes()) * cells_;
    const Times times = uses_.of(i);
    for (const Phase phase : {Phase::forward, Phase::middle, Phase::backward}) {
      const double fetches = times.fetches[static_cast<std::size_t>(phase)];
      const double finds = phase == Phase::forward && carried_[i] ? 1.0 : 0.0;
      form(phase, Lane::h2d) += Form(bytes * fetches);
      form(phase, Lane::ssd_read) += bytes * (fetches - finds) * ssd_weights_;
    }
    if (object.weights_derived && !carried_[i]) form(Phase::forward, Lane::ssd_read) += -bytes * Form::of(Term::late_weights);
  }

  void add_weights(const Object& object) {
    const double bytes = static_cast<double>(object.cell_bytes()) * cells_;
    add_by_lateness(Lane::ssd_write, bytes, ssd_weights_, Form::of(Term::late_weights));
    const double read = object.weights_derived ? 0.0 : 1.0;
    add_by_delay(Lane::h2d, bytes * (stays_elsewhere(Term::weights_device) + read * visits_device(Term::weights_device)));
    add_by_delay(Lane::d2h, bytes * (read * stays_elsewhere(Term::weights_device) + visits_device(Term::weights_device)));
    add_by_delay(Lane::optimizer, Form((1.0 - p_.update_device) * (1.0 + read) * bytes));
    add_by_delay(Lane::compute, Form(p_.update_device * (1.0 + read) * bytes));
  }

  double state_bytes(const Object& object) const {
    double width = 0.0;
    for (std::uint64_t state : object.state_bytes) width += static_cast<double>(state);
    return width * cells_;
  }

  void add_states(const Object& object) {
    const double bytes = state_bytes(object);
    for (const Lane lane : {Lane::ssd_read, Lane::ssd_write}) add_by_lateness(lane, bytes, ssd_state_, Form::of(Term::late_state));
    for (const Lane lane : {Lane::h2d, Lane::d2h}) add_by_delay(lane, bytes * (stays_elsewhere(Term::optimizer_device) + visits_device(Term::optimizer_device)));
    add_by_delay(Lane::optimizer, Form((1.0 - p_.update_device) * 2.0 * bytes));
    add_by_delay(Lane::compute, Form(p_.update_device * 2.0 * bytes));
  }

  [[nodiscard]] Form late_spills() const { return p_.delay * (Form(1.0) - Form::of(Term::gradients_host)); }

  void add_gradients(bool looks_on_device) {
    const double bytes = kGradient * cells_;
    const double eager = std::min(p_.update_device, 1.0 - p_.delay);
    form(Phase::backward, Lane::d2h) += Form((p_.guard == schedule::Guard::speculative ? 1.0 : 1.0 - eager) * bytes);
    form(Phase::forward, Lane::h2d) += Form((p_.update_device - eager) * bytes);
    form(Phase::forward, Lane::ssd_read) += bytes * late_spills();
    Form waiting = late_spills();
    if (p_.guard == schedule::Guard::speculative) waiting += Form::of(Term::early_spills);
    form(Phase::backward, Lane::ssd_write) += bytes * waiting;
    add_by_delay(Lane::optimizer, Form((1.0 - p_.update_device) * bytes));
    add_by_delay(Lane::compute, Form(p_.update_device * bytes));
    form(Phase::backward, looks_on_device ? Lane::compute : Lane::optimizer) += Form(p_.delay * bytes);  // the norm of what waits
    if (looks_on_device) form(Phase::backward, Lane::d2h) += Form(p_.delay * cells_ / static_cast<double>(schedule::kGrain) * sizeof(double));
  }

  // Of several ranks, what waits is added to in host memory, and never goes back to the device.
  void add_partial_sums(double shares) {
    const double bytes = kGradient * cells_;
    const double saved = rounds_ - 1.0 + rounds_ * shares;
    const double restored = p_.ranks > 1 ? 0.0 : saved - shares;
    for (const auto& [phase, part] : {std::pair(Phase::middle, 1.0 - 1.0 / rounds_), std::pair(Phase::backward, 1.0 / rounds_)}) {
      form(phase, Lane::d2h) += Form(bytes * saved * part);
      form(phase, Lane::h2d) += Form(bytes * restored * part);
      for (const Lane lane : {Lane::ssd_read, Lane::ssd_write})
        form(phase, lane) += bytes * saved * part * (late_spills() + Form::of(Term::early_spills));
      if (p_.ranks > 1) form(phase, Lane::optimizer) += Form(3.0 * bytes * saved * part);
    }
    if (p_.ranks == 1) form(Phase::backward, Lane::optimizer) += Form(3.0 * bytes * shares);
  }

  void add_commits(const Object& object) {
    const auto add = [&](double bytes, const Form& ssd, const Form& late) {
      form(Phase::forward, Lane::ssd_write) += bytes / commit_every_ * (Form(p_.delay) - late);
      form(Phase::backward, Lane::ssd_write) += bytes / commit_every_ * (Form(1.0 - p_.delay) - (ssd - late));
    };
    add(static_cast<double>(object.cell_bytes()) * cells_, ssd_weights_, Form::of(Term::late_weights));
    add(state_bytes(object), ssd_state_, Form::of(Term::late_state));
  }

  // Of so many tensors, each put by once and fetched again so often in each phase.
  void add_tensors(Phase made, double tensors, double forward_fetches, double backward_fetches) {
    const double bytes = static_cast<double>(core::round_up(p_.activation_bytes, schedule::kPageAlignment));
    const Form off_device = Form(1.0) - Form::of(Term::activations_device);
    const Form ssd = on_ssd(Term::activations_device, Term::activations_host);
    const auto add = [&](Phase phase, Lane copies, Lane transfers, double times) {
      const double last = phase == Phase::middle ? 0.0 : 1.0 / rounds_;
      for (const auto& [in, part] : {std::pair(phase, last), std::pair(Phase::middle, 1.0 - last)}) {
        form(in, copies) += bytes * times * part * off_device;
        form(in, transfers) += bytes * times * part * ssd;
      }
    };
    add(made, Lane::d2h, Lane::ssd_write, tensors);
    add(Phase::forward, Lane::h2d, Lane::ssd_read, forward_fetches);
    add(Phase::backward, Lane::h2d, Lane::ssd_read, backward_fetches);
  }

  void add_activations() {
    const double all = p_.micro_batches;
    const bool vertical = p_.schedule == schedule::ScheduleKind::vertical;
    const double handed = p_.micro_batches == 1 || !vertical   ? all
                          : p_.order == schedule::Order::snake ? 1.0
                                                               : 0.0;  // to the very next task
    const int last = p_.unit_count() - 1;
    for (int unit = 1; unit <= last; ++unit) {
      const bool twice = unit < last && unit >= first_backward_;
      const double forward = unit < last ? all - handed : 0.0;
      const double backward = twice ? all : unit == last ? all - handed : 0.0;
      add_tensors(Phase::forward, twice ? all : all - handed, forward, backward);
      if (unit > first_backward_) add_tensors(Phase::backward, all - handed, 0.0, all - handed);
    }
  }

  void add_batch() {
    const double ids = static_cast<double>(p_.ids_bytes) * p_.micro_batches;
    form(Phase::forward, Lane::h2d) += Form(2.0 * ids);
    if (first_backward_ == 0) form(Phase::backward, Lane::h2d) += Form(ids);
    form(Phase::backward, Lane::d2h) += Form(static_cast<double>(p_.result_bytes) * p_.micro_batches);
  }

  void add_collectives() {
    const auto work = collective_work(p_);
    for (std::size_t phase = 0; phase < kPhases; ++phase)
      forms_[phase][at(Lane::collective)] += Form(work[phase].gathered + work[phase].summed);
  }

  const Problem& p_;
  const double commit_every_;
  const Uses uses_;
  const std::vector<bool> carried_;
  const int first_backward_;
  const double rounds_;
  const Form ssd_weights_ = on_ssd(Term::weights_device, Term::weights_host);
  const Form ssd_state_ = on_ssd(Term::optimizer_device, Term::optimizer_host);
  double cells_ = 0.0;  // of the object at hand
  StepForms forms_;
};

}  // namespace

double Form::at(const std::array<double, kTerms>& terms) const {
  double sum = 0.0;
  for (std::size_t t = 0; t < kTerms; ++t) sum += factors_[t] * terms[t];
  return sum;
}

Form& Form::operator+=(const Form& other) {
  for (std::size_t t = 0; t < kTerms; ++t) factors_[t] += other.factors_[t];
  return *this;
}

Form& Form::operator*=(double factor) {
  for (double& f : factors_) f *= factor;
  return *this;
}

std::array<double, kTerms> terms_of(const Point& point) {
  std::array<double, kTerms> terms{1.0};
  for (std::size_t f = 0; f < kFractions; ++f) terms[term_of(f)] = point.fractions[f];
  const auto rest = [&](Fraction device, Fraction host) { return 1.0 - point.fractions[index(device)] - point.fractions[index(host)]; };
  terms[index(Term::late_weights)] = std::min(point.delay, rest(Fraction::weights_device, Fraction::weights_host));
  terms[index(Term::late_state)] = std::min(point.delay, rest(Fraction::optimizer_device, Fraction::optimizer_host));
  terms[index(Term::early_spills)] = std::max(0.0, 1.0 - point.delay - point.fractions[index(Fraction::gradients_host)]);
  return terms;
}

std::array<CollectiveWork, kPhases> collective_work(const Problem& problem) {
  std::array<CollectiveWork, kPhases> work{};
  if (problem.ranks == 1) return work;
  const Uses uses(problem);
  for (std::size_t i = 0; i < problem.objects.size(); ++i) {
    const Object& object = problem.objects[i];
    const double cells = static_cast<double>(schedule::part_cells(object, problem.ranks)) * problem.ranks;
    const Times times = uses.of(i);
    for (std::size_t phase = 0; phase < kPhases; ++phase) {
      work[phase].gathers += times.fetches[phase];
      work[phase].gathered += times.fetches[phase] * cells * static_cast<double>(object.cell_bytes());
      if (!object.trained) continue;
      work[phase].sums += times.sums[phase];
      work[phase].summed += times.sums[phase] * cells * kGradient;
    }
  }
  return work;
}

StepForms traffic_forms(const Problem& problem, double commit_every) { return TrafficForms(problem, commit_every).run(); }

MemoryForms memory_forms(const Problem& problem, double kept) {
  MemoryForms memory;
  const bool horizontal = problem.schedule == schedule::ScheduleKind::horizontal && problem.micro_batches > 1;
  const std::vector<std::vector<int>> users = schedule::users_of(problem);
  for (std::size_t i = 0; i < problem.objects.size(); ++i) {
    const Object& object = problem.objects[i];
    const auto cells = static_cast<double>(object.range().cells);
    const double weights = cells * static_cast<double>(object.cell_bytes());
    memory.host[Term::weights_host] += weights;
    memory.device[Term::weights_device] += weights;
    if (!object.trained) continue;
    for (std::uint64_t state : object.state_bytes) {
      memory.host[Term::optimizer_host] += cells * static_cast<double>(state);
      memory.device[Term::optimizer_device] += cells * static_cast<double>(state);
    }
    // Delayed gradients, eager ones that may be needed again, and what several users or micro-batches put by.
    const double sums = static_cast<double>(users[i].size()) - (horizontal ? 0.0 : 1.0);
    const double early = sums + (problem.guard == schedule::Guard::speculative ? 1.0 : 0.0);
    memory.host[Term::gradients_host] += kGradient * cells * problem.delay * (1.0 + sums);
    memory.host += kGradient * cells * early * (Form(1.0 - problem.delay) - Form::of(Term::early_spills));
  }
  // Checkpoints of all micro-batches are there at once where a unit passes all of them before the next unit does.
  const double at_once = horizontal ? 1.0 : problem.micro_batches;
  const double tensors =
      at_once * static_cast<double>(core::round_up(problem.activation_bytes, schedule::kPageAlignment)) * (problem.unit_count() - 1);
  memory.host[Term::activations_host] += tensors;
  memory.device[Term::activations_device] += tensors;
  memory.device[Term::kept_device] += kept;
  return memory;
}

}  // namespace gsnake::plan
