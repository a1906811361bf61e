// One loop by several threads, for work outside steps.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

#include "core/threads.h"

namespace gsnake::core {

// Calls body(begin, end) on ranges that make up [0, count), each of which begins at a multiple of `grain`: at most `threads` of them at once, one by the
// caller. When all have ended, throws the first range's exception that there is.
template <class Body>
void parallel_for(unsigned threads, std::size_t count, std::size_t grain, const Body& body) {
  const std::size_t grains = (count + grain - 1) / grain;
  const std::size_t ranges = std::clamp<std::size_t>(grains, 1, std::max(1U, threads));
  const std::size_t length = (grains + ranges - 1) / ranges * grain;
  std::vector<std::exception_ptr> failures(ranges);
  {
    const auto run = [&](std::size_t range) {
      try {
        const std::size_t begin = std::min(count, range * length);
        const std::size_t end = std::min(count, begin + length);
        if (begin < end) body(begin, end);
      } catch (...) {
        failures[range] = std::current_exception();
      }
    };
    std::vector<std::jthread> others;  // ends before what they use
    others.reserve(ranges);
    for (std::size_t range = 1; range < ranges; ++range) others.emplace_back([&run, range] {
        block_signals();
        run(range);
      });
    run(0);
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace gsnake::core
