// How fast each SSD path is, relative to the others.
#pragma once

#include <string>
#include <vector>

#include "io/file.h"

namespace gsnake::store {

// Writes and reads a temporary file of 16 MiB in each directory, twice, with O_DIRECT where possible and the faster round counting; the
// file is gone again afterwards. One weight per directory: sixteenths of the fastest, 1/16 to 1. One directory: {1}, without a measurement.
// Throws Error(storage).
std::vector<double> measure_stripe_weights(const std::vector<std::string>& directories, io::DirectIo direct);

// Sixteenths of the largest, at least one.
std::vector<double> round_to_sixteenths(const std::vector<double>& weights);

}  // namespace gsnake::store
