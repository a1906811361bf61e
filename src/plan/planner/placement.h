// The linear programme of a step: where things are kept so that its phases are short, within the budgets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "plan/planner/forms.h"
#include "plan/planner/space.h"
#include "sim/machine.h"

namespace gsnake::plan {

enum class Goal : std::uint8_t { throughput, least_wear };

// Seconds that every lane, and everything that lanes share, is busy with a step, by phase.
struct PhaseLoads {
  std::array<std::vector<Form>, kPhases> of;
  Form written;  // bytes to SSD

  // No step is shorter, however well the lanes overlap; and of phases that do not overlap.
  [[nodiscard]] double floor(const Point& point) const;
  [[nodiscard]] double seconds(const Point& point) const;
};

PhaseLoads phase_loads(const schedule::Problem& problem, const sim::Machine& machine, double commit_every);

// What plans are compared by; smaller is better. In parts of a step of `seconds` that writes `bytes`.
struct Price {
  Goal goal = Goal::throughput;
  double seconds = 1.0;
  double bytes = 1.0;

  [[nodiscard]] double of_second() const;
  [[nodiscard]] double of_byte() const;
  [[nodiscard]] double of(double step_seconds, double bytes_written) const {
    return step_seconds * of_second() + bytes_written * of_byte();
  }
};

// Bytes that placement may come to on each tier. `together`: both are of one memory, and `host` is its size.
struct Room {
  double host = 0.0;
  double device = 0.0;
  bool together = false;
};

// What decides between placements that are as good.
enum class Spare : std::uint8_t {
  memory,  // for slots that let lanes run ahead
  lanes,   // the less they move, the less they get in one another's way
};

struct Placed {
  Point point;
  double price = 0.0;  // as it is modelled
};

// The best placement at one delay; of a choice of programmes that bend at different places, and for lanes that run ahead from phase to
// phase or not. Nothing where not even the leanest has room.
struct PlacementProgramme {
  const Space& space;
  const PhaseLoads& loads;
  const MemoryForms& memory;
  Price price;
  double overlap = 0.5;  // how far lanes run ahead from phase to phase: 0 is not at all

  [[nodiscard]] double modelled(const Point& point) const;
  [[nodiscard]] std::vector<Placed> solve(double delay, const Room& room, Spare spare) const;
};

}  // namespace gsnake::plan
