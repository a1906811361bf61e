#include <algorithm>

#include "audit/tasks.h"
#include "schedule/visits.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

class WholeAudit {
 public:
  WholeAudit(const Map& map, const Graph& graph, Reporter& report) : map_(map), graph_(graph), problem_(map.problem), report_(report) {}

  void check() {
    check_edges();
    check_end_order();
    check_batch();
    check_computation();
    check_coverage();
    check_commits();
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

  // Of a unit; updates may be on the same lane.
  static bool is_computation(const Task& task) { return task.lane == Lane::compute && task.op != Op::update && task.op != Op::norm; }

  // What its starter has put into its batch's slot is read and copied from there alone, and the graph after it has another: its batch may come
  // at any moment.
  void check_batch() {
    const int role = map_.pool(PoolRole::host_batch);
    bool uses = false;
    for (std::size_t i = 0; i < graph_.tasks.size(); ++i) {
      const Task& task = graph_.tasks[i];
      for (const Access& access : graph_.accesses(task)) {
        if (access.resource < 0 || !map_.is_buffer(access.resource) || map_.buffers[static_cast<std::size_t>(access.resource)].pool != role) continue;
        uses = true;
        require(access.resource == map_.batch_slot() && access.mode == Mode::read && task.lane == Lane::h2d, static_cast<TaskId>(i),
                "does something else with a batch than to bring it to the device");
      }
    }
    const auto pool = static_cast<std::size_t>(role);
    if (uses && pool < graph_.end_order.size() && !graph_.end_order[pool].empty() && graph_.end_order[pool].front() == 0) {
      report_("the next graph's batch goes where this one's is");
    }
  }

  // What the visits ask for, and nothing else, in their order.
  void check_computation() {
    std::vector<Visit> visits;
    if (is_training(graph_)) visits = training_visits(problem_);
    if (graph_.variant == Variant::validate || graph_.variant == Variant::validate_pending) visits = forward_visits(problem_);
    std::size_t next = 0;
    const auto next_compute = [&]() -> const Task* {
      while (next < graph_.tasks.size() && !is_computation(graph_.tasks[next])) ++next;
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

  // Every chunk that is trained: one look at this step's gradient (its norm partials) in a training step, one update of each due step. One
  // that is frozen is only ever fetched.
  void check_coverage() {
    const std::size_t chunks = map_.chunks.size();
    std::vector<int> norms(chunks, 0);
    std::vector<int> eager(chunks, 0);
    std::vector<int> late(chunks, 0);
    std::vector<int> revised(chunks, 0);
    int concluded = 0;
    int inspected = 0;
    for (const Task& task : graph_.tasks) {
      if (task.op == Op::conclude) ++concluded;
      if (task.op == Op::inspect) inspected += task.step_offset == 0 ? 1 : kLate;
      if (task.chunk < 0 || task.chunk >= static_cast<int>(chunks)) continue;
      const auto c = static_cast<std::size_t>(task.chunk);
      const bool fetches = task.op == Op::read || (task.op == Op::copy && task.lane == Lane::h2d);
      if (!fetches && !map_.object_of(map_.chunks[c]).trained) report_("chunk " + std::to_string(c) + " is frozen, but not only fetched");
      if (task.op == Op::norm) ++norms[c];
      if (task.op == Op::update) ++(task.when == When::revised ? revised : task.step_offset == 0 ? eager : late)[c];
    }
    for (std::size_t c = 0; c < chunks; ++c) {
      const bool delayed = map_.chunks[c].delayed;
      const bool trained = map_.object_of(map_.chunks[c]).trained;
      const bool trains = trained && is_training(graph_);
      const bool pending = trained && is_pending(graph_);
      const bool right = norms[c] == (trains && delayed ? 1 : 0) && eager[c] == (trains && !delayed ? 1 : 0) &&
                         late[c] == (pending && delayed ? 1 : 0) &&
                         revised[c] == (pending && !delayed && problem_.guard == Guard::speculative ? 1 : 0);
      if (!right) report_("chunk " + std::to_string(c) + " is not updated once a step, or its gradient not looked at once");
    }
    const bool computes = std::any_of(graph_.tasks.begin(), graph_.tasks.end(), is_computation);
    if (concluded != (computes ? 1 : 0)) report_("a step is not concluded once");
    const auto updates = [&](bool delayed) {
      return std::any_of(map_.chunks.begin(), map_.chunks.end(), [&](const Chunk& chunk) { return chunk.updates_on_device && chunk.delayed == delayed; });
    };
    const int due = (is_training(graph_) && updates(false) ? 1 : 0) + (is_pending(graph_) && updates(true) ? kLate : 0);
    if (inspected != due) report_("what the device's updates of a step leave is not looked at once");
  }

  // Where steps can be committed: once a step, when its update is complete. What is not always carried out writes homes, or brings them there.
  void check_commits() {
    const bool finishes = graph_.variant == Variant::finish || graph_.variant == Variant::finish_pending;
    const bool delayed = leaves_updates(problem_);
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
        const bool stays = task.chunk >= 0 && map_.chunks[static_cast<std::size_t>(task.chunk)].updates_on_device;
        const bool brings = task.op == Op::copy && task.lane == Lane::d2h && (finishes || stays);
        require(problem_.commits && (writes_state || brings), static_cast<TaskId>(i), "depends on a commit without need");
        require(finishes || task.when == When::committing, static_cast<TaskId>(i), "is carried out by a graph that does not finish");
      }
    }
    const bool right = own == (problem_.commits && is_training(graph_) && !delayed ? 1 : 0) &&
                       previous == (problem_.commits && (is_pending(graph_) || finishes) ? 1 : 0);
    if (!right) report_("steps are not committed once each");
  }

  static constexpr int kLate = 1000;  // one of a delayed part

  const Map& map_;
  const Graph& graph_;
  const Problem& problem_;
  Reporter& report_;
};

}  // namespace

void audit_whole(const Map& map, const Graph& graph, Reporter& report) { WholeAudit(map, graph, report).check(); }

}  // namespace gsnake::audit
