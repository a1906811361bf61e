// A program of graphs with collective tasks: what no builder emits yet, written down by hand.
#pragma once

#include "schedule/graph.h"

namespace gsnake::runtime::test {

inline constexpr int kSharedChunks = 4;  // of each of the two objects; as many ranks at most

// Two objects of kSharedChunks chunks, everything on SSD, gradients that wait there.
schedule::Problem shared_problem(int ranks);
// Few slots, so that they are used over and over.
schedule::PoolSizes shared_pools(const schedule::Problem& problem);
// `load`, and a `finish` that leaves as the gradient of chunk c
//   of object 0: the weights of chunk c of rank c % ranks, which were gathered;
//   of object 1: the sum over ranks, in their order, of the weights of chunk (c + own rank) % kSharedChunks.
schedule::Program shared_program(const schedule::Problem& problem, const schedule::PoolSizes& sizes);

}  // namespace gsnake::runtime::test
