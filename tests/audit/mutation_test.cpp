// Every kind of fault of content or form that the audit exists for.
#include <map>

#include "audit/mutation.h"

namespace gsnake::audit {
namespace {

using schedule::test::joined;

TEST_P(Mutation, NoneIsFoundInTheProgramItself) {
  EXPECT_TRUE(found().empty()) << joined(found());
  EXPECT_TRUE(audit_order(program_.map, train_, train_, joins_).empty());
}

// For each kind of task: two of them change the places of this role.
class SwappedPlaces : public Mutation {
 protected:
  void expect_found(Role role, std::uint64_t seed) {
    const Graph original = train_;
    schedule::test::Random random(seed);
    for (Op op : {Op::read, Op::write, Op::copy, Op::all_gather, Op::reduce_scatter}) {
      const std::vector<TaskId> ids = tasks_of(op);
      if (ids.empty()) continue;  // there is one rank
      for (int i = 0; i < 60 / schedule::test::kSlowdown; ++i) {
        train() = original;
        const TaskId a = random.one_of(ids);
        const TaskId b = random.one_of(ids);
        Access& first = access(a, role);
        Access& second = access(b, role);
        if (first.resource == second.resource && first.offset == second.offset) continue;
        std::swap(first.resource, second.resource);
        std::swap(first.offset, second.offset);
        // What stood there before may be right as well; but nobody keeps it there.
        const bool is_found = !found().empty() || !audit_order(program_.map, train_, train_, joins_).empty();
        train() = original;
        EXPECT_TRUE(is_found || reads_the_same(a, b) || (is_idle(a) && is_idle(b))) << "tasks " << a << " and " << b;
      }
    }
  }

 private:
  // Either may bring to either place what stands there.
  bool reads_the_same(TaskId a, TaskId b) {
    const Access& first = access(a, Role::source);
    const Access& second = access(b, Role::source);
    return first.resource == second.resource && first.offset == second.offset;
  }

  // What it brings stands at its destination already, so that nothing is wrong without it: nor with it, as long as what it puts elsewhere is
  // overwritten before it is used.
  bool is_idle(TaskId id) {
    const Graph original = train_;
    Sequence sequence = this->sequence();
    train().tasks.erase(train().tasks.begin() + id);
    const bool idle = audit_contents(sequence).empty();
    train() = original;
    return idle;
  }
};

TEST_P(SwappedPlaces, OfDestinationsAreFound) { expect_found(Role::destination, 5); }
TEST_P(SwappedPlaces, OfSourcesAreFound) { expect_found(Role::source, 6); }

// In emission order nothing needs edges, so the task can go without mending them. A free slot may happen to hold the very weights that a
// dropped read or copy would have brought; those of a frozen object are the same ones at every visit.
TEST_P(Mutation, ADroppedTaskIsFound) {
  const Graph original = train_;
  const int stride = std::min(4, schedule::test::kSlowdown);  // fewer would say nothing of a share
  for (Op op : {Op::read, Op::write, Op::copy, Op::update, Op::add, Op::norm}) {
    int dropped = 0;
    int found = 0;
    for (TaskId id : tasks_of(op)) {
      if (id % stride != 0) continue;
      Sequence sequence = this->sequence();
      train().tasks.erase(train().tasks.begin() + id);
      ++dropped;
      found += audit_contents(sequence).empty() ? 0 : 1;
      train() = original;
    }
    const bool may_be_idle = op == Op::read || op == Op::copy;
    EXPECT_GE(10 * found, (!may_be_idle ? 10 : has_frozen() ? 7 : 8) * dropped) << found << " of " << dropped << ", op " << static_cast<int>(op);
  }
}

TEST_P(Mutation, AnUpdateWithAnotherStepsScalarsIsFound) {
  const Graph original = train_;
  for (TaskId id : tasks_of(Op::update)) {
    train() = original;
    task(id).step_offset = static_cast<std::int8_t>(task(id).step_offset == 0 ? -1 : 0);
    EXPECT_FALSE(found().empty());
    EXPECT_FALSE(audit_contents(sequence()).empty());
  }
}

// What the device's updates tell of new weights comes from all of them, and somebody looks.
TEST_P(Mutation, AnUpdateOnTheDeviceThatNobodyLooksAtIsFound) {
  const Graph original = train_;
  int updates = 0;
  for (TaskId id : tasks_of(Op::update)) {
    train() = original;
    if (task(id).lane != Lane::compute) continue;
    ++updates;
    Mode& mode = access(id, Role::greatest).mode;
    mode = mode == Mode::write ? Mode::update : Mode::write;
    EXPECT_FALSE(audit_contents(sequence()).empty());
  }
  train() = original;
  for (TaskId id : tasks_of(Op::inspect)) {
    train() = original;
    Sequence sequence = this->sequence();
    train().tasks.erase(train().tasks.begin() + id);
    EXPECT_FALSE(audit_contents(sequence).empty());
  }
  EXPECT_EQ(updates > 0, GetParam().update_device > 0.0);
}

TEST_P(Mutation, ANormThatIsTakenElsewhereIsFound) {
  const Graph original = train_;
  int on_device = 0;
  for (TaskId id : tasks_of(Op::norm)) {
    train() = original;
    Lane& lane = task(id).lane;
    on_device += lane == Lane::compute ? 1 : 0;
    lane = lane == Lane::compute ? Lane::optimizer : Lane::compute;
    EXPECT_FALSE(audit_tasks(program_.map, train_).empty());
  }
  EXPECT_EQ(on_device > 0, GetParam().norms_on_device);
}

TEST_P(Mutation, SwappedStatesOfAnUpdateAreFound) {
  const Graph original = train_;
  for (TaskId id : tasks_of(Op::update)) {
    train() = original;
    std::swap(access(id, Role::state0).resource, access(id, Role::state1).resource);
    EXPECT_FALSE(audit_contents(sequence()).empty());
  }
}

TEST_P(Mutation, AnAccumulatorThatStartsOverOrNeverStartsIsFound) {
  const Graph original = train_;
  for (Op op : {Op::backward, Op::head}) {
    for (TaskId id : tasks_of(op)) {
      for (std::uint32_t i = 0; i < train_.tasks[static_cast<std::size_t>(id)].accesses; ++i) {
        train() = original;
        Access& access = train().access_list[task(id).first_access + i];
        if (access.role != Role::gradients) continue;
        access.mode = access.mode == Mode::update ? Mode::write : Mode::update;
        EXPECT_FALSE(found().empty());
      }
    }
  }
}

TEST_P(Mutation, AnotherOrderOfMicroBatchesIsFound) {
  const Graph original = train_;
  for (Op op : {Op::forward, Op::head, Op::backward}) {
    const std::vector<TaskId> ids = tasks_of(op);
    for (std::size_t i = 1; i < ids.size(); ++i) {
      train() = original;
      if (task(ids[i]).unit != task(ids[i - 1]).unit) continue;
      std::swap(task(ids[i]).micro_batch, task(ids[i - 1]).micro_batch);
      EXPECT_FALSE(found().empty());
    }
  }
}

TEST_P(Mutation, SharesOfSeveralUsersInAnotherOrderAreFound) {
  std::map<std::int32_t, std::vector<TaskId>> adds;  // by chunk
  for (TaskId id : tasks_of(Op::add)) adds[task(id).chunk].push_back(id);
  const Graph original = train_;
  int swapped = 0;
  for (const auto& [chunk, ids] : adds) {
    if (ids.size() < 2) continue;
    train() = original;
    std::swap(access(ids[0], Role::source).resource, access(ids[1], Role::source).resource);
    EXPECT_FALSE(audit_contents(sequence()).empty());
    ++swapped;
  }
  EXPECT_EQ(swapped > 0, has_frozen());  // the tables have an object with three users
}

// Each of these leaves the right bytes everywhere, so that only the task itself tells.
TEST_P(Mutation, WorkOnWhatIsFrozenIsFound) {
  if (!has_frozen()) GTEST_SKIP() << "everything is trained";
  const Graph original = train_;
  const auto read = std::find_if(train_.tasks.begin(), train_.tasks.end(), [&](const Task& t) { return t.op == Op::read && is_frozen(t); });
  ASSERT_NE(read, train_.tasks.end());
  const auto id = static_cast<TaskId>(read - train_.tasks.begin());
  task(id).op = Op::write;
  task(id).lane = Lane::ssd_write;
  std::swap(access(id, Role::source).resource, access(id, Role::destination).resource);
  EXPECT_FALSE(audit_tasks(program_.map, train_).empty());

  train() = original;
  const TaskId commit = tasks_of(Op::commit).front();
  access(commit, Role::source).resource = original.find(original.tasks[static_cast<std::size_t>(id)], Role::source)->resource;
  EXPECT_FALSE(audit_tasks(program_.map, train_).empty());
}

TEST_P(Mutation, AWriteToABaseIsFound) {
  if (!has_frozen()) GTEST_SKIP() << "there is no base";
  const std::vector<Extent>& extents = program_.map.extents;
  const auto base = std::find_if(extents.begin(), extents.end(), [](const Extent& e) { return e.kind == ExtentKind::base; });
  ASSERT_NE(base, extents.end());
  const TaskId id = tasks_of(Op::write).front();
  task(id).bytes = base->bytes;
  access(id, Role::destination).resource = program_.map.extent_resource(static_cast<int>(base - extents.begin()));
  const Findings findings = audit_tasks(program_.map, train_);
  const auto says_so = [](const std::string& finding) { return finding.find("writes to a base") != std::string::npos; };
  EXPECT_TRUE(std::any_of(findings.begin(), findings.end(), says_so)) << joined(findings);
}

TEST_P(Mutation, AUseThatTakesAnotherObjectIsFound) {
  const Graph original = train_;
  for (Op op : {Op::forward, Op::head, Op::backward}) {
    for (TaskId id : tasks_of(op)) {
      train() = original;
      if (program_.map.problem.uses(task(id).unit).size() < 2) continue;
      std::swap(access(id, Role::weights).resource, const_cast<Access*>(train().find(task(id), Role::weights, 1))->resource);
      EXPECT_FALSE(found().empty());
    }
  }
}

TEST_P(Mutation, CarriedSlotsInTheWrongOrderAreFound) {
  if (program_.map.problem.trains() && first_trained_unit(program_.map.problem) > 0) GTEST_SKIP() << "nothing is carried: no graph ends with unit 0";
  const int pool = program_.map.pool(PoolRole::host_chunk);
  std::vector<std::int32_t>& order = train().end_order[static_cast<std::size_t>(pool)];
  std::swap(order[0], order[1]);
  EXPECT_FALSE(found().empty());
}

TEST_P(Mutation, AnEndOrderThatForgetsASlotIsFound) {
  train().end_order.front().back() = train().end_order.front().front();
  EXPECT_FALSE(found().empty());
}

// The next graph's batch may come while this one's is being read.
TEST_P(Mutation, ABatchThatIsPutOverTheOneBeforeIsFound) {
  const auto pool = static_cast<std::size_t>(program_.map.pool(PoolRole::host_batch));
  std::sort(train().end_order[pool].begin(), train().end_order[pool].end());
  EXPECT_FALSE(audit_tasks(program_.map, train_).empty());
  EXPECT_FALSE(audit_contents(sequence()).empty());
}

TEST_P(Mutation, IdsAndLabelsOfAnotherMicroBatchAreFound) {
  const Graph original = train_;
  const Problem& problem = program_.map.problem;
  int copies = 0;
  for (TaskId id : tasks_of(Op::copy)) {
    train() = original;
    if (access(id, Role::source).resource != program_.map.batch_slot()) continue;
    ++copies;
    std::uint64_t& offset = access(id, Role::source).offset;
    offset = (offset + problem.ids_bytes) % program_.map.pools[static_cast<std::size_t>(program_.map.pool(PoolRole::host_batch))].bytes;
    EXPECT_FALSE(audit_contents(sequence()).empty());
  }
  EXPECT_EQ(copies, (first_trained_unit(problem) == 0 ? 3 : 2) * problem.micro_batches);
}

TEST_P(Mutation, ALossThatDoesNotComeBackIsFound) {
  const Graph original = train_;
  int copies = 0;
  for (TaskId id : tasks_of(Op::copy)) {
    train() = original;
    if (access(id, Role::destination).resource != program_.map.losses_home) continue;
    ++copies;
    train().tasks.erase(train().tasks.begin() + id);
    EXPECT_FALSE(audit_contents(sequence()).empty());
  }
  EXPECT_EQ(copies, program_.map.problem.micro_batches);
}

// Weights that visits close to one another fetch may still stand in the right place from the one before.
TEST_P(Mutation, AWrongPlaceInABufferIsFound) {
  const Graph original = train_;
  int moved = 0;
  int noticed = 0;
  for (TaskId id : tasks_of(Op::copy)) {
    train() = original;
    if (task(id).chunk < 0) continue;
    access(id, Role::destination).offset += 4096;
    ++moved;
    noticed += found().empty() ? 0 : 1;
  }
  EXPECT_GE(10 * noticed, (has_frozen() ? 8 : 10) * moved) << noticed << " of " << moved;
}

TEST_P(Mutation, AMapThatSharesBytesIsFound) {
  ASSERT_TRUE(audit_map(program_.map).empty());
  Map map = program_.map;
  map.extents[1].offset = map.extents[0].offset;
  map.extents[1].object = map.extents[0].object;
  map.extents[1].kind = map.extents[0].kind;
  EXPECT_FALSE(audit_map(map).empty());

  map = program_.map;
  for (Extent& extent : map.extents) {
    if (extent.kind == ExtentKind::base) extent.kind = ExtentKind::weights;
  }
  EXPECT_EQ(audit_map(map).empty(), !has_frozen()) << "packed weights that are no base's";

  map = program_.map;
  map.chunks[1].begin += kGrain;
  EXPECT_FALSE(audit_map(map).empty());

  map = program_.map;
  map.buffers.back().bytes += 4096;
  EXPECT_FALSE(audit_map(map).empty());
}

INSTANTIATE_TEST_SUITE_P(Programs, SwappedPlaces, ::testing::ValuesIn(mutated_programs()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Programs, Mutation, ::testing::ValuesIn(mutated_programs()), name_of_case);

}  // namespace
}  // namespace gsnake::audit
