#include "audit/symbols.h"

#include <algorithm>

#include "schedule/problem.h"

namespace gsnake::audit {

std::string describe(const Value* value) {
  if (value == nullptr) return "nothing";
  const std::string index = std::to_string(value->index);
  const std::string version = std::to_string(value->version);
  const std::string wrong = value->wrong ? ", the last one to be done over" : "";
  switch (value->holds) {
    case Holds::weight:
      return "weights of chunk " + index + " after " + version + " updates" + wrong;
    case Holds::state:
      return "state " + std::to_string(value->index % schedule::kMaxStates) + " of chunk " + std::to_string(value->index / schedule::kMaxStates) +
             " after " + version + " updates" + wrong;
    case Holds::gradient:
      return "gradient of chunk " + index + " of step " + version + ", sum " + std::to_string(value->sum);
    case Holds::checkpoint:
      return "checkpoint " + index + " of graph " + version;
    case Holds::norms:
      return "norm partials of chunk " + index + " of step " + version;
    case Holds::greatest:
      return "the greatest weight of " + std::to_string(value->sum) + " chunks of object " + index + " of step " + version;
    case Holds::inspected:
      return std::string("word of the ") + (value->index == 1 ? "delayed" : "eager") + " updates of step " + version;
    case Holds::ids:
    case Holds::labels:
      return (value->holds == Holds::ids ? "ids of micro-batch " : "labels of micro-batch ") + index + " of graph " + version;
    case Holds::losses:
      return "loss of micro-batch " + index + " of graph " + version;
    case Holds::outcome:
      return "outcome of step " + version;
    case Holds::hidden_gradient:
      break;
  }
  return "hidden gradient " + index + " of graph " + version;
}

const Value* Contents::at(int resource, std::uint64_t offset, std::uint64_t bytes) const {
  for (const Run& run : runs_[static_cast<std::size_t>(resource)]) {
    if (run.offset == offset && run.bytes == bytes) return &run.value;
  }
  return nullptr;
}

void Contents::write(int resource, std::uint64_t offset, std::uint64_t bytes, const Value& value) {
  const Value written = value;  // it may stand in this list
  std::vector<Run>& runs = runs_[static_cast<std::size_t>(resource)];
  std::erase_if(runs, [&](const Run& run) { return run.offset < offset + bytes && offset < run.offset + run.bytes; });
  runs.push_back({offset, bytes, written});
}

void Contents::copy(int resource, std::uint64_t offset, std::uint64_t bytes, int to_resource, std::uint64_t to_offset) {
  std::vector<Run> copied;
  for (Run run : runs_[static_cast<std::size_t>(resource)]) {
    if (run.offset < offset || run.offset + run.bytes > offset + bytes) continue;
    run.offset += to_offset - offset;
    copied.push_back(run);
  }
  std::vector<Run>& runs = runs_[static_cast<std::size_t>(to_resource)];
  std::erase_if(runs, [&](const Run& run) { return run.offset < to_offset + bytes && to_offset < run.offset + run.bytes; });
  runs.insert(runs.end(), copied.begin(), copied.end());
}

}  // namespace gsnake::audit
