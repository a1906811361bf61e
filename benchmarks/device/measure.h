// Times of work that a device may do later.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "device/device.h"

namespace gsnake::bench {

// Of repeated measurements.
struct Range {
  double median = 0.0;
  double low = 0.0;
  double high = 0.0;
};

inline Range spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

// Seconds from the first submission to the end of everything that `submit` has given to `stream`.
inline double seconds_of(device::Device& device, device::Stream& stream, const std::function<void()>& submit) {
  const auto end = device.make_event();
  const auto begin = std::chrono::steady_clock::now();
  submit();
  stream.record(*end);
  end->wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace gsnake::bench
