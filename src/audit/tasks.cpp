#include <algorithm>
#include <array>

#include "audit/report.h"
#include "schedule/visits.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

constexpr std::uint64_t kGradientBytes = 4;

enum class Where : std::uint8_t { host, device, extent };

struct Expected {
  Role role;
  Mode mode;
  Where where;
  std::uint64_t bytes;
  bool counts = true;  // as what the task moves
};

class TaskAudit {
 public:
  TaskAudit(const Map& map, const Graph& graph) : map_(map), graph_(graph), problem_(map.problem) {}

  Findings check() {
    check_edges();
    for (std::size_t id = 0; id < graph_.tasks.size(); ++id) check_task(static_cast<TaskId>(id));
    check_end_order();
    check_computation();
    check_coverage();
    check_commits();
    return report_.take();
  }

 private:
  void require(bool holds, TaskId id, const char* what) {
    if (!holds) report_(name_of(graph_, id) + " " + what);
  }

  void check_edges() {
    const std::size_t count = graph_.tasks.size();
    if (graph_.first_successor.size() != count + 1 || graph_.predecessors.size() != count ||
        graph_.first_successor.back() != graph_.successors.size()) {
      return report_("edges do not belong to the tasks");
    }
    std::vector<std::int32_t> arrivals(count, 0);
    for (std::size_t id = 0; id < count; ++id) {
      for (TaskId to : graph_.successors_of(static_cast<TaskId>(id))) {
        if (to <= static_cast<TaskId>(id) || to >= static_cast<TaskId>(count)) {
          require(false, static_cast<TaskId>(id), "has an edge that does not lead forward");
        } else {
          ++arrivals[static_cast<std::size_t>(to)];
        }
      }
    }
    if (arrivals != graph_.predecessors) report_("predecessors do not count the edges that arrive");
  }

  [[nodiscard]] std::vector<Expected> expected_accesses(const Task& task) const {
    switch (task.op) {
      case Op::read: {
        std::vector<Expected> list{{Role::source, Mode::read, Where::extent, task.bytes}, {Role::destination, Mode::write, Where::host, task.bytes}};
        if (task.when == When::revised) list.push_back(outcome());
        return list;
      }
      case Op::write:
        return {{Role::source, Mode::read, Where::host, task.bytes}, {Role::destination, Mode::write, Where::extent, task.bytes}};
      case Op::copy:
        return expected_of_copy(task);
      case Op::update:
      case Op::add:
      case Op::norm:
        return expected_of_chunk(task);
      default:
        return expected_of_compute(task);
    }
  }

  [[nodiscard]] static Expected outcome() { return {Role::outcome, Mode::read, Where::host, 8, false}; }

  // h2d also carries what goes from one place on the device to another.
  [[nodiscard]] std::vector<Expected> expected_of_copy(const Task& task) const {
    const Access* source = graph_.find(task, Role::source);
    const bool from_device = source != nullptr && where(source->resource) == Where::device;
    const Where from = task.lane == Lane::d2h || from_device ? Where::device : Where::host;
    const Where to = task.lane == Lane::d2h ? Where::host : Where::device;
    return {{Role::source, Mode::read, from, task.bytes}, {Role::destination, Mode::write, to, task.bytes}};
  }

  [[nodiscard]] std::vector<Expected> expected_of_chunk(const Task& task) const {
    const std::uint64_t elements = map_.chunks[static_cast<std::size_t>(task.chunk)].elements;
    const std::uint64_t gradient = elements * kGradientBytes;
    const Expected norms{Role::norm, Mode::write, Where::host, elements / kGrain * 8, false};
    if (task.op == Op::norm) return {{Role::gradient, Mode::read, Where::host, gradient}, norms};
    if (task.op == Op::add)
      return {{Role::source, Mode::read, Where::host, gradient}, {Role::destination, Mode::update, Where::host, gradient}};
    const Mode weight = problem_.weights_derived ? Mode::write : Mode::update;
    std::vector<Expected> list{{Role::weight, weight, Where::host, elements * problem_.weight_bytes}, {Role::gradient, Mode::read, Where::host, gradient}};
    if (task.step_offset == 0) list.push_back(norms);
    if (problem_.guard != Guard::none) list.push_back(outcome());
    for (std::size_t k = 0; k < problem_.state_bytes.size(); ++k) {
      const auto role = static_cast<Role>(static_cast<std::size_t>(Role::state0) + k);
      list.push_back({role, Mode::update, Where::host, elements * problem_.state_bytes[k]});
    }
    return list;
  }

  [[nodiscard]] std::vector<Expected> expected_of_compute(const Task& task) const {
    const std::uint64_t activation = map_.slot_activation_bytes();
    const auto accumulates = [](bool first) { return first ? Mode::write : Mode::update; };
    const bool head = task.op == Op::head || task.op == Op::head_forward;
    const bool backward = task.op == Op::backward || task.op == Op::head;
    std::vector<Expected> list{{Role::weights, Mode::read, Where::device, map_.object_bytes(task.unit)}};
    if (backward) list.push_back({Role::gradients, accumulates(task.first), Where::device, map_.gradient_bytes(task.unit)});
    if (head && problem_.tied) {
      list.push_back({Role::tied_weights, Mode::read, Where::device, map_.object_bytes(0)});
      if (backward) list.push_back({Role::tied_gradients, accumulates(task.tied_first), Where::device, map_.gradient_bytes(0)});
    }
    if (task.unit > 0) list.push_back({Role::input, Mode::read, Where::device, activation});
    if (task.op == Op::backward) list.push_back({Role::output_gradient, Mode::read, Where::device, activation});
    if (task.op == Op::forward || (backward && task.unit > 0)) list.push_back({Role::output, Mode::write, Where::device, activation});
    if (head) list.push_back({Role::losses, Mode::write, Where::host, 8});
    if (task.op == Op::head && problem_.guard != Guard::none) list.push_back(outcome());
    return list;
  }

  [[nodiscard]] Where where(int resource) const {
    if (!map_.is_buffer(resource)) return Where::extent;
    return map_.buffers[static_cast<std::size_t>(resource)].space == Space::host ? Where::host : Where::device;
  }

  [[nodiscard]] std::uint64_t size_of(int resource) const {
    if (map_.is_buffer(resource)) return map_.buffers[static_cast<std::size_t>(resource)].bytes;
    return map_.extents[static_cast<std::size_t>(resource) - map_.buffers.size()].bytes;
  }

  [[nodiscard]] bool in_range(const Task& task) const {
    const bool of_chunk = task.chunk >= 0 && task.chunk < static_cast<int>(map_.chunks.size());
    const bool of_unit =
        task.unit >= 0 && task.unit < problem_.units() && task.micro_batch >= 0 && task.micro_batch < problem_.micro_batches;
    const bool moves = task.op == Op::read || task.op == Op::write || task.op == Op::copy;
    const bool on_chunk = task.op == Op::update || task.op == Op::add || task.op == Op::norm;
    if (task.op == Op::commit || task.op == Op::conclude) return task.chunk < 0 && task.unit < 0 && task.micro_batch < 0;
    if (!moves && !on_chunk && !of_unit) return false;
    return moves ? of_chunk != of_unit : !on_chunk || of_chunk;
  }

  [[nodiscard]] bool on_its_lane(const Task& task) const {
    switch (task.op) {
      case Op::read:
        return task.lane == Lane::ssd_read;
      case Op::write:
        return task.lane == Lane::ssd_write;
      case Op::copy:
        return task.lane == Lane::h2d || task.lane == Lane::d2h;
      case Op::update:
      case Op::add:
      case Op::norm:
      case Op::conclude:
        return task.lane == Lane::optimizer;
      case Op::commit:
        return task.lane == Lane::commit;
      default:
        return task.lane == Lane::compute;
    }
  }

  [[nodiscard]] std::uint64_t expected_bytes(const Task& task, const std::vector<Expected>& list) const {
    if (task.lane == Lane::compute) return 0;
    if (task.lane != Lane::optimizer) return task.bytes;
    std::uint64_t sum = 0;
    for (const Expected& access : list) sum += !access.counts ? 0 : access.mode == Mode::update ? 2 * access.bytes : access.bytes;
    return sum;
  }

  void check_task(TaskId id) {
    const Task& task = graph_.tasks[static_cast<std::size_t>(id)];
    if (!in_range(task)) return require(false, id, "names no chunk, unit or micro-batch of the problem");
    require(on_its_lane(task), id, "is on another lane than its kind");
    if (task.op == Op::commit) return check_commit(id);
    if (task.op == Op::conclude) return check_conclude(id);
    const std::vector<Expected> expected = expected_accesses(task);
    const auto accesses = graph_.accesses(task);
    require(accesses.size() == expected.size(), id, "has accesses too many or too few");
    require(task.bytes == expected_bytes(task, expected), id, "does not move the bytes that its kind does");
    for (const Access& access : accesses) {
      if (access.resource < 0 || access.resource >= map_.resources()) return require(false, id, "uses a resource that does not exist");
    }
    for (const Expected& e : expected) check_access(id, graph_.find(task, e.role), e);
    for (std::size_t i = 1; i < accesses.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) require(accesses[i].resource != accesses[k].resource, id, "uses one resource in two roles");
    }
  }

  // Reads the losses and, in a training step, everybody's norm partials once each; then it says so.
  void check_conclude(TaskId id) {
    const Task& task = graph_.tasks[static_cast<std::size_t>(id)];
    std::vector<std::pair<Role, int>> expected{{Role::losses, map_.losses_home}};
    if (is_training(graph_)) {
      for (const Chunk& chunk : map_.chunks) expected.emplace_back(Role::norm, chunk.norm_home);
      expected.emplace_back(Role::outcome, map_.outcome_home);
    }
    std::vector<std::pair<Role, int>> found;
    for (const Access& access : graph_.accesses(task)) {
      require(access.mode == (access.role == Role::outcome ? Mode::write : Mode::read) && access.offset == 0, id, "does more than to look at results");
      found.emplace_back(access.role, access.resource);
    }
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    require(found == expected && task.bytes == 0 && task.when == When::always, id, "does not look at every result");
  }

  // Reads the outcome and every extent of state once, and nothing else.
  void check_commit(TaskId id) {
    const Task& task = graph_.tasks[static_cast<std::size_t>(id)];
    std::vector<int> expected;
    for (const Chunk& chunk : map_.chunks) {
      expected.push_back(map_.extent_resource(chunk.weight_extent));
      for (std::size_t k = 0; k < problem_.state_bytes.size(); ++k) expected.push_back(map_.extent_resource(chunk.state_extent[k]));
    }
    std::vector<int> found;
    expected.push_back(map_.outcome_home);
    for (const Access& access : graph_.accesses(task)) {
      const Role role = access.resource == map_.outcome_home ? Role::outcome : Role::source;
      require(access.role == role && access.mode == Mode::read && access.offset == 0, id, "does more than to read extents");
      found.push_back(access.resource);
    }
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    require(found == expected, id, "does not cover the state on SSD");
    require(task.bytes == 0 && task.when == When::committing, id, "is carried out whether its step is committed or not");
  }

  // Where steps can be committed: once a step, when its update is complete. What is not always carried out writes homes, or brings them there.
  void check_commits() {
    const bool finishes = graph_.variant == Variant::finish || graph_.variant == Variant::finish_pending;
    const bool delayed = std::any_of(map_.chunks.begin(), map_.chunks.end(), [](const Chunk& chunk) { return chunk.gradient_waits; });
    int own = 0;
    int previous = 0;
    for (std::size_t i = 0; i < graph_.tasks.size(); ++i) {
      const Task& task = graph_.tasks[i];
      if (task.op == Op::commit) {
        ++(task.step_offset == 0 ? own : previous);
      } else if (task.when == When::revised) {
        const bool of_revision = task.op == Op::read || task.op == Op::update || task.op == Op::write;
        require(is_pending(graph_) && problem_.guard == Guard::speculative && of_revision && task.step_offset == -1, static_cast<TaskId>(i), "revises without need");
      } else if (task.when != When::always) {
        const bool writes_state = task.op == Op::write && task.chunk >= 0;
        const bool brings = task.op == Op::copy && task.lane == Lane::d2h && finishes;
        require(problem_.commits && (writes_state || brings), static_cast<TaskId>(i), "depends on a commit without need");
        require(finishes || task.when == When::committing, static_cast<TaskId>(i), "is carried out by a graph that does not finish");
      }
    }
    const bool right = own == (problem_.commits && is_training(graph_) && !delayed ? 1 : 0) &&
                       previous == (problem_.commits && (is_pending(graph_) || finishes) ? 1 : 0);
    if (!right) report_("steps are not committed once each");
  }

  void check_access(TaskId id, const Access* access, const Expected& expected) {
    if (access == nullptr) return require(false, id, "lacks an access of its kind");
    require(access->mode == expected.mode, id, "reads what it should write, or writes what it should read");
    require(where(access->resource) == expected.where, id, "uses a resource of the wrong space");
    const std::uint64_t size = size_of(access->resource);
    require(access->offset <= size && expected.bytes <= size - access->offset, id, "reaches beyond its buffer");
    if (expected.where == Where::extent) require(access->offset == 0 && expected.bytes == size, id, "moves a part of an extent");
  }

  void check_end_order() {
    if (graph_.end_order.size() != map_.pools.size()) return report_("end_order does not name every pool");
    for (std::size_t pool = 0; pool < map_.pools.size(); ++pool) {
      std::vector<std::int32_t> slots = graph_.end_order[pool];
      std::sort(slots.begin(), slots.end());
      bool permutation = slots.size() == static_cast<std::size_t>(map_.pools[pool].slots);
      for (std::size_t i = 0; permutation && i < slots.size(); ++i) permutation = slots[i] == static_cast<std::int32_t>(i);
      if (!permutation) report_("end_order is no permutation of the pool of " + map_.pools[pool].name);
    }
  }

  // What the visits ask for, and nothing else, in their order.
  void check_computation() {
    std::vector<Visit> visits;
    if (is_training(graph_)) visits = training_visits(problem_);
    if (graph_.variant == Variant::validate || graph_.variant == Variant::validate_pending) visits = forward_visits(problem_);
    std::size_t next = 0;
    const auto next_compute = [&]() -> const Task* {
      while (next < graph_.tasks.size() && graph_.tasks[next].lane != Lane::compute) ++next;
      return next < graph_.tasks.size() ? &graph_.tasks[next++] : nullptr;
    };
    for (const Visit& visit : visits) {
      for (std::size_t i = 0; i < visit.micro_batches.size(); ++i) {
        const Task* task = next_compute();
        const bool last = i + 1 == visit.micro_batches.size();
        if (task == nullptr || task->op != op_of(visit.pass) || task->unit != visit.unit || task->micro_batch != visit.micro_batches[i] ||
            task->last != last || task->opens != (i == 0)) {
          return report_("compute tasks do not follow the visits at unit " + std::to_string(visit.unit));
        }
      }
    }
    if (next_compute() != nullptr) report_("there are more compute tasks than the visits ask for");
  }

  [[nodiscard]] Op op_of(Pass pass) const {
    if (pass == Pass::forward) return Op::forward;
    if (pass == Pass::backward) return Op::backward;
    return is_training(graph_) ? Op::head : Op::head_forward;
  }

  // Every chunk: one look at this step's gradient (its norm partials) in a training step, one update of each due step.
  void check_coverage() {
    const std::size_t chunks = map_.chunks.size();
    std::vector<int> norms(chunks, 0);
    std::vector<int> eager(chunks, 0);
    std::vector<int> late(chunks, 0);
    std::vector<int> revised(chunks, 0);
    int concluded = 0;
    for (const Task& task : graph_.tasks) {
      if (task.op == Op::conclude) ++concluded;
      if (task.chunk < 0 || task.chunk >= static_cast<int>(chunks)) continue;
      const auto c = static_cast<std::size_t>(task.chunk);
      if (task.op == Op::norm) ++norms[c];
      if (task.op == Op::update) ++(task.when == When::revised ? revised : task.step_offset == 0 ? eager : late)[c];
    }
    for (std::size_t c = 0; c < chunks; ++c) {
      const bool delayed = map_.chunks[c].delayed;
      const bool trains = is_training(graph_);
      const bool right = norms[c] == (trains && delayed ? 1 : 0) && eager[c] == (trains && !delayed ? 1 : 0) &&
                         late[c] == (is_pending(graph_) && delayed ? 1 : 0) &&
                         revised[c] == (is_pending(graph_) && !delayed && problem_.guard == Guard::speculative ? 1 : 0);
      if (!right) report_("chunk " + std::to_string(c) + " is not updated once a step, or its gradient not looked at once");
    }
    const bool computes = std::any_of(graph_.tasks.begin(), graph_.tasks.end(), [](const Task& task) { return task.lane == Lane::compute; });
    if (concluded != (computes ? 1 : 0)) report_("a step is not concluded once");
  }

  const Map& map_;
  const Graph& graph_;
  const Problem& problem_;
  Reporter report_;
};

}  // namespace

Findings audit_tasks(const Map& map, const Graph& graph) { return TaskAudit(map, graph).check(); }

}  // namespace gsnake::audit
