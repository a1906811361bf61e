#include "audit/audit.h"

#include <algorithm>
#include <queue>
#include <random>
#include <set>

#include "audit/execution.h"
#include "audit/report.h"
#include "audit/shuffle.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

using Step = std::pair<Variant, Variant>;

std::vector<Variant> built_variants(const Program& program) {
  std::vector<Variant> variants;
  for (int i = 0; i < kVariantCount; ++i) {
    if (is_built(program.graphs[static_cast<std::size_t>(i)])) variants.push_back(static_cast<Variant>(i));
  }
  return variants;
}

std::set<Step> allowed_pairs(const Program& program) {
  std::set<Step> pairs;
  const std::vector<Variant> variants = built_variants(program);
  for (Variant previous : variants) {
    for (Variant next : variants) {
      if (may_follow(previous, next, program.delayed)) pairs.insert({previous, next});
    }
  }
  return pairs;
}

// The shortest way on from `from` whose last step satisfies `wanted`; empty where there is none.
template <typename Wanted>
std::vector<Variant> shortest_way(const std::set<Step>& pairs, Variant from, const Wanted& wanted) {
  std::queue<std::vector<Variant>> ways;
  std::set<Variant> seen{from};
  ways.push({from});
  while (!ways.empty()) {
    const std::vector<Variant> way = ways.front();
    ways.pop();
    for (const Step& pair : pairs) {
      if (pair.first != way.back()) continue;
      std::vector<Variant> longer = way;
      longer.push_back(pair.second);
      if (wanted(pair)) return {longer.begin() + 1, longer.end()};
      if (seen.insert(pair.second).second) ways.push(std::move(longer));
    }
  }
  return {};
}

// Adds what `found` says, with a place in front.
void collect(Findings& all, const std::string& place, const Findings& found) {
  for (const std::string& finding : found) all.push_back(place + finding);
}

std::string name_of(Variant variant) { return kVariantNames[static_cast<std::size_t>(variant)]; }

}  // namespace

Sequence compose(const Program& program, std::span<const Variant> variants) {
  Sequence sequence;
  sequence.map = &program.map;
  for (Variant variant : variants) {
    const Graph& graph = program.graph(variant);
    sequence.joins.push_back(sequence.graphs.empty() ? std::vector<Edge>{} : join(program.map, *sequence.graphs.back(), graph));
    sequence.graphs.push_back(&graph);
  }
  return sequence;
}

std::vector<std::vector<Variant>> covering_walks(const Program& program) {
  const std::set<Step> pairs = allowed_pairs(program);
  std::set<Step> unseen = pairs;
  const auto is_unseen = [&unseen](const Step& pair) { return unseen.contains(pair); };
  const auto finishes = [](const Step& pair) { return pair.second == Variant::finish || pair.second == Variant::finish_pending; };
  std::vector<std::vector<Variant>> walks;
  while (!unseen.empty()) {
    std::vector<Variant>& walk = walks.emplace_back(1, Variant::load);
    std::vector<Variant> way;
    const auto go = [&](const auto& wanted) {
      way = shortest_way(pairs, walk.back(), wanted);
      for (Variant next : way) {
        unseen.erase({walk.back(), next});
        walk.push_back(next);
      }
    };
    do {
      go(is_unseen);
    } while (!way.empty());
    go(finishes);
    if (walk.size() == 1) break;  // the rest can't be reached
  }
  return walks;
}

void draw_fates(Sequence& sequence, std::uint64_t seed) {
  const Guard guard = sequence.map->problem.guard;
  std::mt19937_64 random(seed);
  sequence.fates.clear();
  for (std::size_t i = 0; i < sequence.graphs.size(); ++i) {
    const std::uint64_t draw = random() % (guard == Guard::none ? 1 : guard == Guard::deferred ? 2 : 3);
    sequence.fates.push_back(static_cast<Fate>(draw));
  }
}

Findings audit_contents(const Sequence& sequence) {
  Execution execution(sequence);
  execution.start(0);
  for (std::size_t g = 0; g < sequence.graphs.size(); ++g) {
    if (g + 1 < sequence.graphs.size()) execution.start(g + 1);  // as early as may be
    const auto count = static_cast<TaskId>(sequence.graphs[g]->tasks.size());
    for (TaskId id = 0; id < count && !execution.stopped(); ++id) execution.run(g, id);
  }
  execution.check_end();
  return execution.take();
}

Findings audit_shuffled(const Sequence& sequence, std::uint64_t seed) {
  Execution execution(sequence);
  Shuffle shuffle(sequence, seed);
  Shuffle::Step step;
  while (!execution.stopped() && shuffle.next(step)) {
    if (step.task < 0) {
      execution.start(step.graph);
    } else {
      execution.run(step.graph, step.task);
    }
  }
  const bool complete = shuffle.done();
  if (complete) execution.check_end();
  Findings findings = execution.take();
  if (!complete && findings.empty()) findings.push_back("tasks wait for one another: some never run");
  return findings;
}

Findings audit(const Program& program, int shuffles, std::uint64_t seed) {
  Findings findings = audit_map(program.map);
  for (Variant variant : built_variants(program))
    collect(findings, name_of(variant) + ": ", audit_tasks(program.map, program.graph(variant)));
  if (!findings.empty()) return findings;
  for (const auto& [first, second] : allowed_pairs(program)) {
    const Graph& previous = program.graph(first);
    const Graph& next = program.graph(second);
    const std::string place = name_of(first) + ", " + name_of(second) + ": ";
    collect(findings, place, audit_order(program.map, previous, next, join(program.map, previous, next)));
  }
  for (const std::vector<Variant>& walk : covering_walks(program)) {
    Sequence sequence = compose(program, walk);
    collect(findings, "in emission order: ", audit_contents(sequence));
    draw_fates(sequence, seed);
    collect(findings, "in emission order, with other outcomes: ", audit_contents(sequence));
    for (int i = 0; i < shuffles; ++i) {
      const std::uint64_t drawn = seed + static_cast<std::uint64_t>(i);
      draw_fates(sequence, drawn);
      collect(findings, "in random order " + std::to_string(drawn) + ": ", audit_shuffled(sequence, drawn));
    }
  }
  return findings;
}

}  // namespace gsnake::audit
