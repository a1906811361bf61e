// The JSON that the page's scripts draw from.
#pragma once

#include <set>
#include <string>

#include "report/page.h"

namespace gsnake::report {

[[nodiscard]] Json page_data(const ReportInput& input, const PageLimits& limits);

// The sections that `data` has something for: the ids of page.html.
[[nodiscard]] std::set<std::string> sections_of(const Json& data);

}  // namespace gsnake::report
