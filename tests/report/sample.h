// Files as a run and a plan leave them.
#pragma once

#include <string>
#include <vector>

#include "report/files.h"

namespace gsnake::report::test {

Json config();
// What a machine was predicted to do with it; without "timeline".
Json prediction();
// Two steps, 5 and 6, of two lanes; the compute lane begins at 10 ms and 110 ms.
Json timeline();
Json start_line();
Json step_line(int step, double loss);
Json plan();
Json simulation();
// A Chrome trace of the steps 6 and 7, whose compute lane begins at 3 ms and 103 ms.
Json trace();

// A line each.
std::string lines(const std::vector<Json>& lines);

}  // namespace gsnake::report::test
