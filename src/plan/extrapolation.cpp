#include "plan/extrapolation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "plan/numerics.h"
#include "plan/reduction.h"

namespace gsnake::plan {
namespace {

// From here on neither the slots that neighbours share nor the turns of their order change with more of them. Some slots are as many as
// units or as micro-batches, whichever are more: the few are more of the same.
struct Few {
  std::size_t units;           // of each shape
  std::int64_t micro_batches;  // beside as many as units where these are fewer; and twice as many
};
constexpr Few kMoreUnits{8, 4};
constexpr Few kMoreMicroBatches{4, 2};
// How many chunks are in memory at once is a question of neighbouring units, and of how evenly micro-batches spread them: more than so
// many change nothing.
constexpr std::size_t kNeighbours = 4;  // of each shape
constexpr std::int64_t kManyMicroBatches = 256;

bool is_of_chunks(const schedule::Pool& pool) {
  return pool.role == schedule::PoolRole::host_chunk || pool.role == schedule::PoolRole::host_redo || pool.role == schedule::PoolRole::device_update ||
         pool.role == schedule::PoolRole::device_norms;
}

constexpr std::int64_t kEnds = 2;                          // the first unit and the last
constexpr std::array<std::uint64_t, 2> kFewChunks{8, 16};  // of the largest object
constexpr std::uint64_t kManyChunks = 32;

constexpr double kTasksPerVisit = 4.0;  // of a unit by a micro-batch: computed, its input put by and fetched
constexpr double kTasksPerChunk = 25.0;
constexpr double kTasksPerFrozenChunk = 4.0;  // read and copied in either pass

// Weighted sums of what several runs need, of which one may lack an item that another has.
class Sum {
 public:
  void add(double weight, const std::vector<MemoryItem>& items) {
    std::vector<bool> taken(items_.size() + items.size(), false);
    for (const MemoryItem& item : items) {
      const std::size_t place = place_of(item, taken);
      taken[place] = true;
      bytes_[place] += weight * static_cast<double>(item.bytes);
    }
  }
  [[nodiscard]] std::vector<MemoryItem> items() const {
    std::vector<MemoryItem> items = items_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const auto bytes = static_cast<std::uint64_t>(std::llround(std::max(0.0, bytes_[i])));
      if (bytes != items[i].bytes && !items[i].detail.starts_with("kept")) items[i].detail = "about";
      items[i].bytes = bytes;
    }
    return items;
  }

 private:
  // Slots of several sizes have one name.
  std::size_t place_of(const MemoryItem& item, const std::vector<bool>& taken) {
    std::size_t place = 0;
    while (place < items_.size() && (taken[place] || items_[place].tier != item.tier || items_[place].name != item.name)) ++place;
    if (place == items_.size()) {
      items_.push_back(item);
      bytes_.push_back(0.0);
    }
    return place;
  }

  std::vector<MemoryItem> items_;
  std::vector<double> bytes_;
};

class Extrapolation {
 public:
  Extrapolation(const Config& config, const ModelLayout& layout, Purpose purpose, const Overheads& overheads, bool one_memory)
      : config_(config),
        layout_(layout),
        purpose_(purpose),
        one_memory_(one_memory),
        overheads_(overheads),
        ranks_(purpose == Purpose::train ? config.ranks.count : 1),
        micro_batches_(purpose == Purpose::train ? config.train.micro_batches / ranks_ : 1),
        counts_(counts_of(layout)),
        few_units_(counts_) {
    const bool more_units = static_cast<std::int64_t>(layout.units.size()) > micro_batches_;
    const Few few = more_units ? kMoreUnits : kMoreMicroBatches;
    for (std::size_t& count : few_units_) count = std::min(count, few.units);
    few_micro_batches_ = few.micro_batches;
    if (more_units) return;
    for (const std::size_t count : few_units_) few_micro_batches_ += static_cast<std::int64_t>(count);
    few_micro_batches_ += kEnds + 1;
  }

  std::vector<MemoryItem> run() {
    add_chunk_slots();
    const double largest = static_cast<double>(layout_.largest_object()) / static_cast<double>(ranks_);  // of what a rank owns
    const auto part = [&](std::uint64_t chunks) { return static_cast<double>(chunks * kLargestChunk) / largest; };
    if (largest <= static_cast<double>(kManyChunks * kLargestChunk)) {
      add_micro_batches(1.0, 1.0);
    } else {
      along(1.0, part(kFewChunks[0]), part(kFewChunks[1]), [&](double weight, double at) { add_micro_batches(weight, at); });
    }
    return sum_.items();
  }

 private:
  void add_chunk_slots() {
    Config config = config_;
    config.train.micro_batches = ranks_ * std::min(micro_batches_, kManyMicroBatches);
    Counts neighbours = counts_;
    for (std::size_t& count : neighbours) count = std::min(count, kNeighbours);
    const schedule::Problem problem = make_problem(config, numerics_of(config), reduced(layout_, neighbours, 1.0), purpose_, one_memory_);
    for (const schedule::Pool& pool : schedule::make_map(problem, schedule::minimum_pools(problem)).pools) {
      if (is_of_chunks(pool)) sum_.add(1.0, {slots_item(pool)});
    }
  }

  // The value at `wanted` of a straight line that is known at two places.
  template <typename Add>
  static void along(double wanted, double first, double second, const Add& add) {
    const double beyond = (wanted - first) / (second - first);
    add(1.0 - beyond, first);
    add(beyond, second);
  }

  void add_micro_batches(double weight, double part) {
    const std::int64_t more = 2 * few_micro_batches_;
    if (micro_batches_ <= more) return add_units(weight, part, micro_batches_);
    along(static_cast<double>(micro_batches_), static_cast<double>(few_micro_batches_), static_cast<double>(more),
          [&](double share, double at) { add_units(weight * share, part, std::llround(at)); });
  }

  void add_units(double weight, double part, std::int64_t micro_batches) {
    double of_few = weight;
    for (std::size_t shape = 0; shape < few_units_.size(); ++shape) {
      const auto beyond = static_cast<double>(counts_[shape] - few_units_[shape]);
      if (beyond == 0.0) continue;
      Counts more = few_units_;
      ++more[shape];
      add_tiers(weight * beyond, reduced(layout_, more, part), micro_batches);
      of_few -= weight * beyond;
    }
    add_tiers(of_few, reduced(layout_, few_units_, part), micro_batches);
  }

  // Among few checkpoints, each tier can't have its exact share.
  void add_tiers(double weight, const ModelLayout& layout, std::int64_t micro_batches) {
    const TierFractions shares = config_.placement.activations;
    const double on_ssd = std::max(0.0, 1.0 - shares.device - shares.host);
    for (const auto& [share, tier] : {std::pair{shares.device, TierFractions{1.0, 0.0}}, std::pair{shares.host, TierFractions{0.0, 1.0}},
                                      std::pair{on_ssd, TierFractions{0.0, 0.0}}}) {
      if (share <= 0.0) continue;
      Config config = config_;
      config.train.micro_batches = ranks_ * micro_batches;
      config.placement.activations = tier;
      add_but_for_chunk_slots(weight * share, make_problem(config, numerics_of(config), layout, purpose_, one_memory_));
    }
  }

  void add_but_for_chunk_slots(double weight, const schedule::Problem& problem) {
    schedule::PoolSizes pools = schedule::minimum_pools(problem);
    const schedule::Program program = schedule::build_program(problem, pools);
    for (std::size_t i = 0; i < pools.size(); ++i) {
      if (is_of_chunks(program.map.pools[i])) pools[i] = 0;
    }
    sum_.add(weight, memory_items(problem, pools, overheads_, program));
  }

  const Config& config_;
  const ModelLayout& layout_;
  const Purpose purpose_;
  const bool one_memory_;
  const Overheads& overheads_;
  const std::int64_t ranks_;
  const std::int64_t micro_batches_;  // of a rank
  const Counts counts_;
  Counts few_units_;
  std::int64_t few_micro_batches_ = 0;
  Sum sum_;
};

}  // namespace

double about_tasks(const Config& config, const ModelLayout& layout, Purpose purpose) {
  const int ranks = purpose == Purpose::train ? config.ranks.count : 1;
  const double micro_batches = purpose == Purpose::train ? static_cast<double>(config.train.micro_batches) / ranks : 1.0;
  double of_chunks = 0.0;
  const double size = static_cast<double>(chunk_elements(layout, ranks)) * ranks;
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    const double chunks = std::ceil(static_cast<double>(layout.flat(object).elements) / size);
    of_chunks += chunks * (layout.is_trained(object) ? kTasksPerChunk : kTasksPerFrozenChunk);
  }
  const double rounds = config.train.schedule == Schedule::horizontal ? micro_batches : 1.0;  // each of which moves every chunk
  return kTasksPerVisit * static_cast<double>(layout.units.size()) * micro_batches + of_chunks * rounds;
}

std::vector<MemoryItem> extrapolated_memory(const Config& config, const ModelLayout& layout, Purpose purpose, const Overheads& overheads, bool one_memory) {
  return Extrapolation(config, layout, purpose, overheads, one_memory).run();
}

}  // namespace gsnake::plan
