// The best point of a space: the linear programme's answers, simulated, and from the best of them step by step to better ones.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "plan/planner/estimator.h"
#include "plan/planner/placement.h"

namespace gsnake::plan {

// Units, of models that are larger than this: there linear programmes tell more, and simulations take longer.
inline constexpr std::size_t kLargeModel = 24;

struct Effort {
  int answers = 8;      // of linear programmes that are simulated
  double tasks = 0.0;   // that are walked through, at most; but for the answers, which all are
  bool refines = true;  // goes on step by step
  Detail detail = Detail::fine;
};

// What runs need beside what is placed: the same whatever the machine, the budgets and what is free. By micro-batches, moments and delay.
using KnownNeeds = std::map<std::tuple<std::int64_t, MomentFormat, double>, RunNeeds>;

struct Found {
  Point point;
  Config config;  // with its budgets
  Estimate estimate;
  double price = 0.0;
};

class Search {
 public:
  // All borrowed.
  Search(const Setting& setting, const sim::MachineProfile& profile, const Space& space, Estimator& estimator, KnownNeeds& needs,
         Goal goal);

  // Nothing where nothing fits. Of points that are as good, the first of `known`; they are of this space or of one with other memory or
  // lanes.
  std::optional<Found> run(const Effort& effort, const std::vector<Point>& known = {});
  // Steps as the linear programmes know them, of a point that is known and of the best beside it; nothing is simulated.
  struct Promise {
    double known = 0.0;  // seconds
    double best = 0.0;
  };
  [[nodiscard]] Promise promise(const Point& known);
  // How long any step takes at the least with what `point` keeps where.
  [[nodiscard]] double floor(const Point& point);
  // What the linear programmes hold of it.
  [[nodiscard]] double modelled(const Point& point);

 private:
  // Of one delay.
  struct Model {
    PhaseLoads loads;
    MemoryForms memory;
  };

  Model& model_of(double delay);
  const RunNeeds& needs_beside_placement(double delay);
  // Where slots that let lanes run ahead have a part of what they could use.
  [[nodiscard]] Room room_at(double delay, double ahead);
  [[nodiscard]] PlacementProgramme programme_at(double delay);
  void add_answers(double delay, std::size_t lists);
  // Those that are asked for answers: all, or the ends and those beside what is known.
  [[nodiscard]] std::vector<double> delays_near(const std::vector<Point>& known) const;
  void simulate_answers(int most, bool only_promising);
  // As no other can be noticeably better.
  [[nodiscard]] bool is_good() const;
  void consider_smaller(Point point);
  // Whether it is the best so far.
  bool consider(const Point& point);
  const Estimate& estimate_of(const Point& point);
  Point shrunk(const Point& point, const Needs& excess, std::size_t giving);
  bool consider_with_room(const Point& point, std::size_t moved);
  [[nodiscard]] Point snapped(Point point) const;
  void refine();
  void share_updates();
  void leave_slots_out();
  [[nodiscard]] std::vector<Found> starts_of(const std::map<Point, Estimate>& seen) const;
  bool improve(double step);
  bool step_in(std::size_t fraction, double step);
  bool step_delay(double step);

  const Setting& setting_;
  const sim::MachineProfile& profile_;
  const Space& space_;
  Estimator& estimator_;
  KnownNeeds& needs_;
  const bool is_large_;
  Price price_;
  std::map<double, Model> models_;
  std::vector<std::vector<Placed>> answers_;  // by what is left to slots
  std::map<Point, Estimate> seen_;
  double least_ = std::numeric_limits<double>::infinity();  // price, of any plan, were all lanes to overlap as they please
  std::optional<Found> best_;
  double most_tasks_ = 0.0;
};

}  // namespace gsnake::plan
