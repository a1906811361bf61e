// What buffers and extents hold while graphs run on symbols: the audit's model of memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace gsnake::audit {

enum class Holds : std::uint8_t { weight, state, gradient, checkpoint, hidden_gradient, norms, greatest, inspected, losses, outcome, ids, labels };

// One symbol. Two are equal when the bytes they stand for are.
struct Value {
  Holds holds = Holds::weight;
  int index = 0;       // chunk; state: chunk * kMaxStates + k; checkpoint, hidden_gradient: unit * M + m; losses, ids, labels: m; greatest: object; inspected: 1 of a delayed part
  int version = 0;     // weight, state: updates applied; gradient, norms, greatest, inspected, outcome: training step; the others: graph of the sequence
  int sum = 0;         // gradient: what was added up, one of Sums; greatest: of how many chunks
  bool wrong = false;  // weight, state: the last update was not as its outcome asks

  bool operator==(const Value&) const = default;
};

std::string describe(const Value* value);

// What gradients are sums of, as numbers: micro-batches of a user of an object in the order in which they were added, and of several users
// the sums in theirs. 0 is the empty sum.
class Sums {
 public:
  int append(int sum, std::size_t user, int micro_batch) { return number({sum, static_cast<int>(user), micro_batch}); }
  // Either way round, as additions are.
  int add(int sum, int share) { return number({std::max(sum, share), -1, std::min(sum, share)}); }

 private:
  int number(const std::tuple<int, int, int>& key) { return next_.try_emplace(key, static_cast<int>(next_.size()) + 1).first->second; }
  std::map<std::tuple<int, int, int>, int> next_;
};

class Contents {
 public:
  explicit Contents(int resources) : runs_(static_cast<std::size_t>(resources)) {}

  // What was written to exactly these bytes and not overwritten since, in whole or in part; nullptr where there is none.
  [[nodiscard]] const Value* at(int resource, std::uint64_t offset, std::uint64_t bytes) const;
  void write(int resource, std::uint64_t offset, std::uint64_t bytes, const Value& value);
  // What stands wholly in these bytes comes to the same place of as many others; nothing else stands there then.
  void copy(int resource, std::uint64_t offset, std::uint64_t bytes, int to_resource, std::uint64_t to_offset);

 private:
  struct Run {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    Value value;
  };
  std::vector<std::vector<Run>> runs_;  // by resource
};

}  // namespace gsnake::audit
