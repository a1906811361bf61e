// The two halves of audit_tasks(): each task by itself, and what a graph's tasks come to.
#pragma once

#include "audit/report.h"

namespace gsnake::audit {

// Edges, the computation that the visits ask for, updates, norms, commits, the slots at the end.
void audit_whole(const Map& map, const Graph& graph, Reporter& report);

}  // namespace gsnake::audit
