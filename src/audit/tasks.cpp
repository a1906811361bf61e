#include <algorithm>
#include <array>
#include <set>

#include "audit/tasks.h"
#include "schedule/kept.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

enum class Where : std::uint8_t { host, device, extent };

struct Expected {
  Role role;
  Mode mode;
  Where where;
  std::uint64_t bytes;
  bool counts = true;  // as what the task moves
  int use = 0;
  bool or_update = false;  // Mode::update will do as well
};

class TaskAudit {
 public:
  TaskAudit(const Map& map, const Graph& graph, Reporter& report) : map_(map), graph_(graph), problem_(map.problem), kept_(kept_passes(map.problem)), report_(report) {}

  void check() {
    for (std::size_t id = 0; id < graph_.tasks.size(); ++id) check_task(static_cast<TaskId>(id));
  }

 private:
  void require(bool holds, TaskId id, const char* what) {
    if (!holds) report_(name_of(graph_, id) + " " + what);
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
      case Op::all_gather:
        return {{Role::source, Mode::read, Where::device, part_bytes(task)}, {Role::destination, Mode::write, Where::device, task.bytes}};
      case Op::reduce_scatter:
        return {{Role::source, Mode::read, Where::device, task.bytes}, {Role::destination, Mode::write, Where::device, part_bytes(task)}};
      case Op::update:
      case Op::add:
      case Op::norm:
        return expected_of_chunk(task);
      default:
        return expected_of_compute(task);
    }
  }

  [[nodiscard]] std::uint64_t part_bytes(const Task& task) const { return task.bytes / static_cast<std::uint64_t>(problem_.ranks); }

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
    const Chunk& chunk = map_.chunks[static_cast<std::size_t>(task.chunk)];
    const Object& object = map_.object_of(chunk);
    const std::uint64_t gradient = Map::gradient_bytes(chunk);
    const Where at = task.lane == Lane::compute ? Where::device : Where::host;
    const Expected norms{Role::norm, Mode::write, at, Map::norm_bytes(chunk), false};
    if (task.op == Op::norm) return {{Role::gradient, Mode::read, at, gradient}, norms};
    if (task.op == Op::add)
      return {{Role::source, Mode::read, Where::host, gradient}, {Role::destination, Mode::update, Where::host, gradient}};
    const Mode weight = object.weights_derived ? Mode::write : Mode::update;
    std::vector<Expected> list{{Role::weight, weight, at, map_.weight_bytes(chunk)}, {Role::gradient, Mode::read, at, gradient}};
    if (task.step_offset == 0) list.push_back(norms);
    if (problem_.guard != Guard::none) list.push_back(outcome());
    for (std::size_t k = 0; k < object.state_bytes.size(); ++k) {
      const auto role = static_cast<Role>(static_cast<std::size_t>(Role::state0) + k);
      list.push_back({role, Mode::update, at, map_.state_bytes(chunk, k)});
    }
    if (at == Where::device) list.push_back({Role::greatest, Mode::write, at, kGreatestBytes, false, 0, true});
    return list;
  }

  [[nodiscard]] std::vector<Expected> expected_of_compute(const Task& task) const {
    const std::uint64_t activation = map_.slot_activation_bytes();
    const bool head = task.op == Op::head || task.op == Op::head_forward;
    const bool backward = task.op == Op::backward || task.op == Op::head;
    const std::vector<int>& objects = problem_.uses(task.unit);
    std::vector<Expected> list;
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const int use = static_cast<int>(i);
      list.push_back({Role::weights, Mode::read, Where::device, map_.slot_weight_bytes(objects[i]), true, use});
      // Whether it starts over or goes on shows in what it holds.
      if (backward && problem_.object(objects[i]).trained)
        list.push_back({Role::gradients, Mode::write, Where::device, map_.slot_gradient_bytes(objects[i]), true, use, true});
    }
    if (task.unit == 0 || head) list.push_back({Role::ids, Mode::read, Where::device, problem_.ids_bytes});
    if (task.unit > 0 && !(backward && task.kept)) list.push_back({Role::input, Mode::read, Where::device, activation});
    if (task.op == Op::backward) list.push_back({Role::output_gradient, Mode::read, Where::device, activation});
    if (task.op == Op::forward || (backward && task.unit > first_trained_unit(problem_))) list.push_back({Role::output, Mode::write, Where::device, activation});
    if (head) list.push_back({Role::losses, Mode::write, Where::device, problem_.result_bytes});
    if (task.op == Op::head && problem_.guard != Guard::none) list.push_back(outcome());
    return list;
  }

  [[nodiscard]] bool is_kept(const Task& task) const {
    if (!is_training(graph_) || (task.op != Op::forward && task.op != Op::backward)) return false;
    return kept_[static_cast<std::size_t>(task.unit * problem_.micro_batches + task.micro_batch)];
  }

  [[nodiscard]] Where where(int resource) const {
    if (!map_.is_buffer(resource)) return Where::extent;
    return map_.buffers[static_cast<std::size_t>(resource)].space == Space::host ? Where::host : Where::device;
  }

  [[nodiscard]] std::uint64_t size_of(int resource) const {
    if (map_.is_buffer(resource)) return map_.buffers[static_cast<std::size_t>(resource)].bytes;
    return map_.extents[static_cast<std::size_t>(resource) - map_.buffers.size()].bytes;
  }

  static bool is_collective(const Task& task) { return task.op == Op::all_gather || task.op == Op::reduce_scatter; }

  [[nodiscard]] bool in_range(const Task& task) const {
    const bool of_chunk = task.chunk >= 0 && task.chunk < static_cast<int>(map_.chunks.size());
    const bool of_unit =
        task.unit >= 0 && task.unit < problem_.unit_count() && task.micro_batch >= 0 && task.micro_batch < problem_.micro_batches;
    const bool moves = task.op == Op::read || task.op == Op::write || task.op == Op::copy || is_collective(task);
    const bool on_chunk = task.op == Op::update || task.op == Op::add || task.op == Op::norm;
    if (task.op == Op::commit || task.op == Op::conclude || task.op == Op::inspect) return task.chunk < 0 && task.unit < 0 && task.micro_batch < 0;
    if (!moves && !on_chunk && !of_unit) return false;
    return moves ? of_chunk != of_unit : !on_chunk || of_chunk;
  }

  // Whatever is done over is done on the CPU.
  [[nodiscard]] bool on_device(const Task& task) const { return map_.chunks[static_cast<std::size_t>(task.chunk)].updates_on_device && task.when != When::revised; }

  [[nodiscard]] bool on_its_lane(const Task& task) const {
    switch (task.op) {
      case Op::read:
        return task.lane == Lane::ssd_read;
      case Op::write:
        return task.lane == Lane::ssd_write;
      case Op::copy:
        return task.lane == Lane::h2d || task.lane == Lane::d2h;
      case Op::update:
        return task.lane == (on_device(task) ? Lane::compute : Lane::optimizer);
      case Op::norm:
        return task.lane == (map_.chunks[static_cast<std::size_t>(task.chunk)].norm_on_device ? Lane::compute : Lane::optimizer);
      case Op::add:
      case Op::conclude:
      case Op::inspect:
        return task.lane == Lane::optimizer;
      case Op::all_gather:
      case Op::reduce_scatter:
        return task.lane == Lane::collective;
      case Op::commit:
        return task.lane == Lane::commit;
      default:
        return task.lane == Lane::compute;
    }
  }

  [[nodiscard]] std::uint64_t expected_bytes(const Task& task, const std::vector<Expected>& list) const {
    const bool of_optimizer = task.lane == Lane::optimizer || task.op == Op::update || task.op == Op::norm;
    if (!of_optimizer) return task.lane == Lane::compute ? 0 : task.bytes;
    std::uint64_t sum = 0;
    for (const Expected& access : list) sum += !access.counts ? 0 : access.mode == Mode::update ? 2 * access.bytes : access.bytes;
    return sum;
  }

  void check_task(TaskId id) {
    const Task& task = graph_.tasks[static_cast<std::size_t>(id)];
    if (!in_range(task)) return require(false, id, "names no chunk, unit or micro-batch of the problem");
    require(on_its_lane(task), id, "is on another lane than its kind");
    require(task.kept == is_kept(task), id, "keeps activations that are to be computed again, or the other way round");
    if (task.op == Op::commit) return check_commit(id);
    if (task.op == Op::conclude) return check_conclude(id);
    if (task.op == Op::inspect) return check_inspect(id);
    if (is_collective(task)) require(task.bytes > 0 && task.bytes % (4 * static_cast<std::uint64_t>(problem_.ranks)) == 0, id, "does not share whole numbers among the ranks");
    const std::vector<Expected> expected = expected_accesses(task);
    const auto accesses = graph_.accesses(task);
    require(accesses.size() == expected.size(), id, "has accesses too many or too few");
    require(task.bytes == expected_bytes(task, expected), id, "does not move the bytes that its kind does");
    for (const Access& access : accesses) {
      if (access.resource < 0 || access.resource >= map_.resources()) return require(false, id, "uses a resource that does not exist");
    }
    for (const Expected& e : expected) check_access(id, graph_.find(task, e.role, e.use), e);
    for (std::size_t i = 1; i < accesses.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) require(accesses[i].resource != accesses[k].resource, id, "uses one resource in two roles");
    }
  }

  // Reads the losses and, in a training step, everybody's norm partials once each; then it says so.
  void check_conclude(TaskId id) {
    std::vector<std::pair<Role, int>> expected{{Role::losses, map_.losses_home}};
    if (is_training(graph_)) {
      for (const Chunk& chunk : map_.chunks) {
        if (map_.object_of(chunk).trained) expected.emplace_back(Role::norm, chunk.norm_home);
      }
      expected.emplace_back(Role::outcome, map_.outcome_home);
      if (map_.inspected_home >= 0) expected.emplace_back(Role::inspected, map_.inspected_home);
    }
    check_looks(id, std::move(expected), Role::outcome);
  }

  // Reads what the device's updates of its step have left of every object that there are any of; then it says so.
  void check_inspect(TaskId id) {
    const Task& task = graph_.tasks[static_cast<std::size_t>(id)];
    std::set<std::pair<Role, int>> expected{{Role::inspected, map_.inspected_home}};
    for (const Chunk& chunk : map_.chunks) {
      if (chunk.updates_on_device && chunk.delayed == (task.step_offset < 0)) expected.emplace(Role::greatest, map_.greatest_home[static_cast<std::size_t>(chunk.object)]);
    }
    check_looks(id, {expected.begin(), expected.end()}, Role::inspected);
  }

  void check_looks(TaskId id, std::vector<std::pair<Role, int>> expected, Role written) {
    const Task& task = graph_.tasks[static_cast<std::size_t>(id)];
    std::vector<std::pair<Role, int>> found;
    for (const Access& access : graph_.accesses(task)) {
      require(access.mode == (access.role == written ? Mode::write : Mode::read) && access.offset == 0, id, "does more than to look at results");
      found.emplace_back(access.role, access.resource);
    }
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    require(found == expected && task.bytes == 0 && task.when == When::always, id, "does not look at every result");
  }

  // Reads the outcome, whether the device's new weights are sound, and every extent of trained state once, and nothing else.
  void check_commit(TaskId id) {
    const Task& task = graph_.tasks[static_cast<std::size_t>(id)];
    std::vector<int> expected;
    for (const Chunk& chunk : map_.chunks) {
      if (!map_.object_of(chunk).trained) continue;
      expected.push_back(map_.extent_resource(chunk.weight_extent));
      for (std::size_t k = 0; k < map_.object_of(chunk).state_bytes.size(); ++k) expected.push_back(map_.extent_resource(chunk.state_extent[k]));
    }
    std::vector<int> found;
    expected.push_back(map_.outcome_home);
    if (map_.inspected_home >= 0) expected.push_back(map_.inspected_home);
    for (const Access& access : graph_.accesses(task)) {
      const Role role = access.resource == map_.outcome_home ? Role::outcome : access.resource == map_.inspected_home ? Role::inspected : Role::source;
      require(access.role == role && access.mode == Mode::read && access.offset == 0, id, "does more than to read extents");
      found.push_back(access.resource);
    }
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    require(found == expected, id, "does not cover the state on SSD");
    require(task.bytes == 0 && task.when == When::committing, id, "is carried out whether its step is committed or not");
  }

  void check_access(TaskId id, const Access* access, const Expected& expected) {
    if (access == nullptr) return require(false, id, "lacks an access of its kind");
    require(access->mode == expected.mode || (expected.or_update && access->mode == Mode::update), id, "reads what it should write, or writes what it should read");
    require(where(access->resource) == expected.where, id, "uses a resource of the wrong space");
    const std::uint64_t size = size_of(access->resource);
    require(access->offset <= size && expected.bytes <= size - access->offset, id, "reaches beyond its buffer");
    if (expected.where != Where::extent) return;
    require(access->offset == 0 && expected.bytes == size, id, "moves a part of an extent");
    const ExtentKind kind = map_.extents[static_cast<std::size_t>(access->resource) - map_.buffers.size()].kind;
    require(access->mode == Mode::read || kind != ExtentKind::base, id, "writes to a base");
  }

  const Map& map_;
  const Graph& graph_;
  const Problem& problem_;
  const std::vector<bool> kept_;
  Reporter& report_;
};

}  // namespace

Findings audit_tasks(const Map& map, const Graph& graph) {
  Reporter report;
  TaskAudit(map, graph, report).check();
  audit_whole(map, graph, report);
  return report.take();
}

}  // namespace gsnake::audit
