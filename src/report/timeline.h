// What ran when, measured or predicted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/files.h"

namespace gsnake::report {

struct Task {
  std::string lane;
  int row = 0;  // of those that a lane needs where it has several tasks in hand
  std::string name;
  std::int64_t step = 0;  // 0: not a step
  double begin_ms = 0.0;
  double end_ms = 0.0;
  std::uint64_t bytes = 0;
};

using Timeline = std::vector<Task>;

// From a prediction's "timeline"; of null: none. Throws Error(input) that names `file` and the entry.
[[nodiscard]] Timeline predicted_tasks(const Json& timeline, const std::string& file);

// From the text of a Chrome trace, as a run writes it; nothing where it is not one. Events but those with a duration are passed over.
[[nodiscard]] std::optional<Timeline> traced_tasks(std::string_view text);

// What must be added to `predicted`'s times so that the first step that both have begins at the same time in both; where they have no step
// in common, so that the first steps do. A step begins with its first task of the compute lane, if it has one. 0 where either is empty.
[[nodiscard]] double shift_ms(const Timeline& measured, const Timeline& predicted);

// At most `most` tasks, or as many as there are rows if these are more: neighbours in a row that are closest are drawn as one, named "12
// tasks", with their bytes; its step is 0 where theirs differ.
struct Thinned {
  Timeline tasks;
  double resolution_ms = 0.0;  // gaps below this may be covered; 0: nothing was left out
};
[[nodiscard]] Thinned thin(Timeline tasks, std::size_t most);

}  // namespace gsnake::report
