// c10d's store and its process groups on Gloo.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "dist/environment.h"

namespace gsnake::dist {

// Waits that long for whoever keeps it. Throws c10d's exceptions.
c10::intrusive_ptr<c10d::Store> open_store(const MeetingPlace& place, bool keeps_it, std::chrono::milliseconds timeout);

// So many groups of the same ranks, side by side, each with connections of its own. Every rank calls this at the same time: they wait that long for one another.
std::vector<c10::intrusive_ptr<c10d::Backend>> make_gloo_groups(const MeetingPlace& place, const c10::intrusive_ptr<c10d::Store>& store, int rank, int count, int groups,
                                                                std::chrono::milliseconds timeout);
// Where LibTorch puts the address by which a rank's others reach it in such a group.
std::string address_key(int group, int rank);

}  // namespace gsnake::dist
