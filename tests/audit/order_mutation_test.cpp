// Faults of order: edges that are missing, or lead in a circle.
#include "audit/mutation.h"

namespace gsnake::audit {
namespace {

class OrderMutation : public Mutation {};

// Of edges, under a sanitizer: fewer would say nothing of a share.
constexpr std::size_t kStride = std::min(4, schedule::test::kSlowdown);

// The emitter makes edges between conflicting tasks only: removing one is a fault exactly when no other path is left.
TEST_P(OrderMutation, AMissingEdgeIsFoundExactlyWhenItBreaksAnOrder) {
  const std::vector<Edge> edges = edges_of(train_);
  int broken = 0;
  for (std::size_t i = 0; i < edges.size(); i += kStride) {
    const Graph mutant = without_edge(train_, i);
    const bool breaks = !Reach(mutant, Graph{}, {}).waits(edges[i].from, edges[i].to);
    Graph empty;
    empty.first_successor = {0};
    const Findings findings = audit_order(program_.map, mutant, empty, {});
    EXPECT_EQ(!findings.empty(), breaks) << "edge " << edges[i].from << " to " << edges[i].to;
    broken += breaks ? 1 : 0;
  }
  EXPECT_GT(broken, static_cast<int>(edges.size() / kStride / 4));
}

TEST_P(OrderMutation, AMissingJoinEdgeIsFoundExactlyWhenItBreaksAnOrder) {
  ASSERT_GT(joins_.size(), 10U);
  const auto offset = static_cast<TaskId>(train_.tasks.size());
  int broken = 0;
  for (std::size_t i = 0; i < joins_.size(); ++i) {
    std::vector<Edge> joins = joins_;
    joins.erase(joins.begin() + static_cast<std::ptrdiff_t>(i));
    const bool breaks = !Reach(train_, train_, joins).waits(joins_[i].from, offset + joins_[i].to);
    EXPECT_EQ(!audit_order(program_.map, train_, train_, joins).empty(), breaks) << "join " << joins_[i].from << " to " << joins_[i].to;
    broken += breaks ? 1 : 0;
  }
  EXPECT_GT(broken, 5);  // there are few: none is left out
}

// Needs a fault that changes what somebody finds, and an order that hits it.
TEST_P(OrderMutation, RandomOrdersFindMostMissingEdges) {
  const std::vector<Edge> edges = edges_of(train_);
  const Graph original = train_;
  int broken = 0;
  int caught = 0;
  for (std::size_t i = 0; i < edges.size(); i += 5 * kStride) {
    train() = without_edge(original, i);
    if (Reach(train_, Graph{}, {}).waits(edges[i].from, edges[i].to)) continue;
    ++broken;
    bool seen = false;
    for (std::uint64_t seed = 0; seed < 12 && !seen; ++seed) seen = !audit_shuffled(sequence(), seed).empty();
    caught += seen ? 1 : 0;
  }
  RecordProperty("broken", broken);
  RecordProperty("caught", caught);
  ASSERT_GT(broken, 0);
  EXPECT_GE(2 * caught, broken) << caught << " of " << broken;
}

TEST_P(OrderMutation, ACycleIsFound) {
  const Edge edge = edges_of(train_).front();
  Graph cyclic = train_;
  cyclic.successors = {edge.to, edge.from};
  for (std::size_t i = 0; i < cyclic.first_successor.size(); ++i) {
    const auto id = static_cast<TaskId>(i);
    cyclic.first_successor[i] = (id > edge.from ? 1U : 0U) + (id > edge.to ? 1U : 0U);
  }
  EXPECT_FALSE(audit_tasks(program_.map, cyclic).empty());
  const Findings findings = audit_shuffled({&program_.map, {&cyclic}, {{}}}, 1);
  EXPECT_FALSE(findings.empty());
}

INSTANTIATE_TEST_SUITE_P(Programs, OrderMutation, ::testing::ValuesIn(mutated_programs()), name_of_case);

}  // namespace
}  // namespace gsnake::audit
