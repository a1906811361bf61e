// How ranks find one another.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "dist/environment.h"
#include "greedysnake/config.h"

namespace gsnake::dist {

struct Met {
  c10::intrusive_ptr<c10d::Store> store;                  // with a record of every rank
  std::vector<c10::intrusive_ptr<c10d::Backend>> groups;  // of all of them, connected
};

// Waits for all ranks, at most `ranks.timeout` seconds. Throws Error(usage) or Error(rank).
Met meet(const MeetingPlace& place, const RanksConfig& ranks, int groups);

}  // namespace gsnake::dist
