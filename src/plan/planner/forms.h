// What a step moves on each lane, as a linear function of where things are kept, by the phase in which it is moved. Sums over the phases
// are those of schedule::training_traffic().
#pragma once

#include <array>
#include <cstdint>

#include "plan/planner/space.h"
#include "schedule/graph.h"

namespace gsnake::plan {

// A step has two: forward, with the delayed part of the update before, and backward, with the eager part of its own, which begins at the
// head. Horizontal micro-batches that are neither the first nor the last lie between.
enum class Phase : std::uint8_t { forward, middle, backward };
inline constexpr std::size_t kPhases = 3;

// What forms are linear in: 1, each Fraction, and three that bend where the delay meets a tier's end.
enum class Term : std::uint8_t {
  one,
  weights_device,
  weights_host,
  optimizer_device,
  optimizer_host,
  activations_device,
  activations_host,
  gradients_host,
  kept_device,
  late_weights,  // delayed and on SSD: the lesser of the two
  late_state,
  early_spills,  // of gradients that are not delayed, those beyond the part that host memory has room for: 1 - delay - gradients_host, or 0
};
inline constexpr std::size_t kTerms = 12;
constexpr std::size_t index(Term term) { return static_cast<std::size_t>(term); }
constexpr std::size_t term_of(std::size_t fraction) { return fraction + 1; }

class Form {
 public:
  Form() = default;
  explicit Form(double constant) { factors_[0] = constant; }
  static Form of(Term term) {
    Form form;
    form[term] = 1.0;
    return form;
  }
  double& operator[](Term term) { return factors_[index(term)]; }
  [[nodiscard]] const std::array<double, kTerms>& factors() const { return factors_; }
  [[nodiscard]] double at(const std::array<double, kTerms>& terms) const;

  Form& operator+=(const Form& other);
  Form& operator*=(double factor);
  friend Form operator+(Form a, const Form& b) { return a += b; }
  friend Form operator-(Form a, Form b) { return a += (b *= -1.0); }
  friend Form operator*(double factor, Form form) { return form *= factor; }

 private:
  std::array<double, kTerms> factors_{};
};

using LaneForms = std::array<Form, schedule::kLaneCount>;  // bytes
using StepForms = std::array<LaneForms, kPhases>;

std::array<double, kTerms> terms_of(const Point& point);

// What several ranks do together in a phase, wherever things are kept; nothing of one rank.
struct CollectiveWork {
  double gathers = 0.0;   // tasks
  double gathered = 0.0;  // bytes, as the tasks count them
  double sums = 0.0;
  double summed = 0.0;
};
std::array<CollectiveWork, kPhases> collective_work(const schedule::Problem& problem);

// Of a problem whatever its placement, where every so many steps are committed. Exact but for rounding to grains, for activations whose
// tiers take turns among tensors that move more and less often, for checkpoints that are fetched once where activations are kept, and for what the device
// updates of what is kept there.
StepForms traffic_forms(const schedule::Problem& problem, double commit_every);

// Bytes of the homes and slots that each term takes on a tier beside what is there whatever the placement. `kept`: of activations, if all are.
struct MemoryForms {
  Form host;
  Form device;
};
MemoryForms memory_forms(const schedule::Problem& problem, double kept);

}  // namespace gsnake::plan
