#include "plan/planner/placement.h"

#include <algorithm>

#include "plan/planner/linear_programme.h"

namespace gsnake::plan {
namespace {

// Of the better of two goals that the other one may cost: it decides between equals.
constexpr double kTie = 0.005;
// Of the better goal, that all memory costs, or a second of a lane in a step of a second.
constexpr double kMemory = 0.002;
constexpr double kLane = 0.002;

// On which side of a bend a programme stays: what is delayed reaches the SSD's part of something as a whole, or beyond it.
enum class Side : std::uint8_t { within, beyond, either };

struct Bends {
  Side weights = Side::within;
  Side state = Side::within;
  Side gradients = Side::within;
};

class Solver {
 public:
  Solver(const PlacementProgramme& programme, double delay, const Room& room, Spare spare)
      : p_(programme), lean_(programme.space.leanest(delay)), delay_(lean_.delay), room_(room) {
    for (std::size_t t = 1; t < kTerms; ++t) spare_prices_[t] = spare == Spare::memory ? memory_price(t) : lane_price(t);
  }

  // Those that are worth a programme each.
  [[nodiscard]] std::vector<Bends> all_bends() const {
    std::vector<Bends> all;
    for (const Side weights : sides_of(Fraction::weights_device)) {
      for (const Side state : sides_of(Fraction::optimizer_device)) {
        for (const Side gradients : sides_of_gradients()) all.push_back({weights, state, gradients});
      }
    }
    return all;
  }

  std::optional<Placed> solve(const Bends& bends, bool overlapping) {
    lp_ = LinearProgramme();
    add_terms();
    add_sums();
    bend(bends);
    add_room();
    add_times(overlapping);
    const auto found = lp_.minimise();
    if (!found) return std::nullopt;
    Placed placed{lean_, 0.0};
    for (std::size_t f = 0; f < kFractions; ++f) placed.point.fractions[f] = (*found)[term_of(f)];
    placed.point = p_.space.rounded(placed.point);
    placed.price = p_.modelled(placed.point) + spare_price(terms_of(placed.point));
    return placed;
  }

 private:
  [[nodiscard]] std::vector<Side> sides_of(Fraction device) const {
    if (delay_ <= 0.0) return {Side::within};
    if (delay_ >= 1.0) return {Side::beyond};
    const std::size_t d = index(device);
    if (p_.space.is_free(d)) return {Side::within, Side::beyond};
    return {lean_.fractions[d] + lean_.fractions[sibling(d)] <= 1.0 - delay_ ? Side::within : Side::beyond};
  }

  [[nodiscard]] std::vector<Side> sides_of_gradients() const {
    const auto matters = [](const Form& form) { return form.factors()[index(Term::early_spills)] != 0.0; };
    const bool matter = matters(p_.memory.host) || std::any_of(p_.loads.of.begin(), p_.loads.of.end(), [&](const auto& loads) {
                          return std::any_of(loads.begin(), loads.end(), matters);
                        });
    if (!matter || delay_ >= 1.0) return {Side::either};
    const std::size_t host = index(Fraction::gradients_host);
    if (p_.space.is_free(host)) return {Side::within, Side::beyond};
    return {lean_.fractions[host] <= 1.0 - delay_ ? Side::within : Side::beyond};
  }

  [[nodiscard]] double memory_price(std::size_t term) const {
    const double host = p_.memory.host.factors()[term] / std::max(1.0, room_.host);
    const double device = p_.memory.device.factors()[term] / std::max(1.0, room_.together ? room_.host : room_.device);
    return kMemory * std::max(0.0, host + device);
  }

  [[nodiscard]] double lane_price(std::size_t term) const {
    double seconds = 0.0;
    for (const auto& phase : p_.loads.of) {
      for (const Form& load : phase) seconds += load.factors()[term];
    }
    return kLane * seconds / p_.price.seconds;
  }

  [[nodiscard]] double spare_price(const std::array<double, kTerms>& terms) const {
    double sum = 0.0;
    for (std::size_t t = 0; t < kTerms; ++t) sum += spare_prices_[t] * terms[t];
    return sum;
  }

  static int variable(Term term) { return static_cast<int>(index(term)); }

  // Variables stand in the order of terms; those of phases follow.
  void add_terms() {
    lp_.add_variable(1.0, 1.0, 0.0);
    const auto& bytes = p_.loads.written.factors();
    for (std::size_t t = 1; t < kTerms; ++t) {
      const bool is_fraction = t <= kFractions;
      const bool is_free = !is_fraction || p_.space.is_free(t - 1);
      const double kept = is_fraction ? lean_.fractions[t - 1] : 0.0;
      const double cost = bytes[t] * p_.price.of_byte() + spare_prices_[t];
      lp_.add_variable(is_free ? 0.0 : kept, is_free ? 1.0 : kept, cost);
    }
  }

  void add_sums() {
    for (std::size_t f = 0; f < kOfTwoTiers; f += 2)
      lp_.add_row({{static_cast<int>(term_of(f)), 1.0}, {static_cast<int>(term_of(f + 1)), 1.0}}, 0.0, 1.0);
  }

  // late = min(delay, 1 - device - host)
  void bend_at(Side side, Term device, Term host, Term late) {
    if (side == Side::within) {
      lp_.add_row({{variable(late), 1.0}}, delay_, delay_);
      lp_.add_row({{variable(device), 1.0}, {variable(host), 1.0}}, 0.0, 1.0 - delay_);
    } else {
      lp_.add_row({{variable(late), 1.0}, {variable(device), 1.0}, {variable(host), 1.0}}, 1.0, 1.0);
      lp_.add_row({{variable(device), 1.0}, {variable(host), 1.0}}, 1.0 - delay_, 1.0);
    }
  }

  void bend(const Bends& bends) {
    bend_at(bends.weights, Term::weights_device, Term::weights_host, Term::late_weights);
    bend_at(bends.state, Term::optimizer_device, Term::optimizer_host, Term::late_state);
    // early_spills = max(0, 1 - delay - gradients_host)
    const double early = 1.0 - delay_;
    if (bends.gradients == Side::either) return lp_.add_row({{variable(Term::early_spills), 1.0}}, 0.0, 0.0);
    if (bends.gradients == Side::within) {
      lp_.add_row({{variable(Term::early_spills), 1.0}, {variable(Term::gradients_host), 1.0}}, early, early);
      lp_.add_row({{variable(Term::gradients_host), 1.0}}, 0.0, early);
    } else {
      lp_.add_row({{variable(Term::early_spills), 1.0}}, 0.0, 0.0);
      lp_.add_row({{variable(Term::gradients_host), 1.0}}, early, 1.0);
    }
  }

  static std::vector<std::pair<int, double>> factors_of(const Form& form) {
    std::vector<std::pair<int, double>> factors;
    for (std::size_t t = 0; t < kTerms; ++t) {
      if (form.factors()[t] != 0.0) factors.emplace_back(static_cast<int>(t), form.factors()[t]);
    }
    return factors;
  }

  void add_room() {
    if (room_.together) {
      lp_.add_row(factors_of(p_.memory.host + p_.memory.device), -LinearProgramme::kNoLimit, room_.host);
      return;
    }
    lp_.add_row(factors_of(p_.memory.host), -LinearProgramme::kNoLimit, room_.host);
    lp_.add_row(factors_of(p_.memory.device), -LinearProgramme::kNoLimit, room_.device);
  }

  void add_load(const Form& load, int phase) {
    auto factors = factors_of(load);
    factors.emplace_back(phase, -p_.price.seconds);
    lp_.add_row(std::move(factors), -LinearProgramme::kNoLimit, 0.0);
  }

  // Phases in parts of a usual step.
  void add_times(bool overlapping) {
    const auto& of = p_.loads.of;
    const double cost = p_.price.seconds * p_.price.of_second();
    if (!overlapping) {
      for (const auto& loads : of) {
        const int phase = lp_.add_variable(0.0, LinearProgramme::kNoLimit, cost);
        for (const Form& load : loads) add_load(load, phase);
      }
      return;
    }
    const int step = lp_.add_variable(0.0, LinearProgramme::kNoLimit, cost);
    for (std::size_t load = 0; load < of[0].size(); ++load) {
      Form sum;
      for (const auto& loads : of) sum += loads[load];
      add_load(sum, step);
    }
  }

  const PlacementProgramme& p_;
  const Point lean_;
  const double delay_;
  const Room room_;
  std::array<double, kTerms> spare_prices_{};
  LinearProgramme lp_;
};

}  // namespace

double Price::of_second() const { return (goal == Goal::throughput ? 1.0 : kTie) / seconds; }
double Price::of_byte() const { return (goal == Goal::throughput ? kTie : 1.0) / bytes; }

double PlacementProgramme::modelled(const Point& point) const {
  return price.of((1.0 - overlap) * loads.seconds(point) + overlap * loads.floor(point), loads.written.at(terms_of(point)));
}

std::vector<Placed> PlacementProgramme::solve(double delay, const Room& room, Spare spare) const {
  std::vector<Placed> found;
  Solver solver(*this, delay, room, spare);
  for (const bool overlapping : {false, true}) {
    std::optional<Placed> best;
    for (const Bends& bends : solver.all_bends()) {
      const std::optional<Placed> placed = solver.solve(bends, overlapping);
      if (placed && (!best || placed->price < best->price)) best = placed;
    }
    if (best && std::none_of(found.begin(), found.end(), [&](const Placed& other) { return other.point == best->point; }))
      found.push_back(*best);
  }
  return found;
}

}  // namespace gsnake::plan
