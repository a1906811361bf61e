// One HTML page of a run or a plan: everything is in it, nothing is fetched.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "report/input.h"

namespace gsnake::report {

// What keeps the page small; what is left out is said on it.
struct PageLimits {
  std::size_t tasks = 60000;  // of each timeline; where there are more, neighbours are drawn as one
  std::size_t steps = 4000;   // points of a curve; where there are more, each is the mean of several steps
};

[[nodiscard]] std::string page_of(const ReportInput& input, const PageLimits& limits = {});

// Text as it stands in HTML, between tags and in attributes' quotes.
[[nodiscard]] std::string escape_html(std::string_view text);

// JSON that can stand within <script>: without '<', so that no text of it ends the element.
[[nodiscard]] std::string dump_for_script(const Json& json);

}  // namespace gsnake::report
