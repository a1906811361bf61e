// What a simulation says of a run's steps.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/simulation.h"

namespace gsnake::sim {

struct LaneTime {
  double busy = 0.0;   // seconds of a steady step in which the lane has a task in hand
  // Seconds that its tasks of a step take if nothing holds them up. Of the slower of the SSD's two lanes: nothing but the other one, as drives do
  // not do all of both at once.
  double limit = 0.0;
};

// A kind of work on the way that a step's length goes.
struct PathPart {
  std::string what;  // "ssd_read: read"
  double seconds = 0.0;  // of a steady step
  double tasks = 0.0;    // likewise
};

struct TimelineTask {
  Lane lane = Lane::compute;
  int row = 0;  // of the lane's tasks that are in hand at once
  std::string name;
  std::int64_t step = 0;  // from 1
  double begin = 0.0;     // seconds from the timeline's start
  double end = 0.0;
  std::uint64_t bytes = 0;
};

// Bytes in use from then on.
struct MemoryPoint {
  double seconds = 0.0;  // from the timeline's start
  std::uint64_t bytes = 0;
};

struct Prediction {
  std::vector<double> step_seconds;  // of the first steps; the last of them is the steady one
  std::array<LaneTime, kLaneCount> lanes{};
  // Seconds that what all lanes take of a resource takes, if they have all of it and nothing holds them up; 0: without a limit, or of drives, whose lanes' limits know of one another.
  PerResource shared{};
  std::vector<PathPart> critical_path;  // longest first; its parts sum to the steady step
  int walks = 1;                        // that were simulated for it
  std::uint64_t ssd_read_bytes = 0;     // of a steady step
  std::uint64_t ssd_write_bytes = 0;
  std::vector<TimelineTask> timeline;   // where it was asked for
  std::vector<MemoryPoint> host_memory;    // homes and the slots that hold something
  std::vector<MemoryPoint> device_memory;

  [[nodiscard]] double step() const { return step_seconds.empty() ? 0.0 : step_seconds.back(); }
  // The lane whose work of a step takes longest by itself,
  [[nodiscard]] Lane binds() const;
  // and by name; or the resource that takes longer than it and a tenth more, as on the CPU computing alone takes nearly all of the cores. For people.
  [[nodiscard]] std::string binding() const;
};

struct PredictionOptions {
  int commit_every = 1;
  bool timeline = false;
  // Of a timeline: the run's steps that it is of, first and last, as far as the walk goes; those after it by steady ones. {0, 0}: the last two steady ones.
  std::pair<std::int64_t, std::int64_t> traced{0, 0};
  Rules rules{};
  std::size_t tasks_walked = 200'000;  // at most, of steady steps: the more steps, the less it counts where in a step the results come
};

// Of a program that trains. Steady steps are whole rounds of commits; of rounds too long to walk through, as many steps without a commit, and what one adds to them, by
// its part in a round.
Prediction predict(const Program& program, const Machine& machine, const PredictionOptions& options = {});

// TB a day that training writes, at so many bytes a step.
double terabytes_a_day(std::uint64_t bytes_a_step, double seconds_a_step);

}  // namespace gsnake::sim
