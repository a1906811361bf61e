// The optimizer's threads and memory's bandwidth.
#pragma once

#include <memory>
#include <vector>

#include "measure/load.h"
#include "measure/update_arrays.h"

namespace gsnake::measure {

// AdamW with fp32 moments and norm partials on arrays of one weight format, chunk by chunk as the executor's optimizer lane does.
class Updates {
 public:
  // Arrays of about so many bytes, filled.
  Updates(optim::WeightFormat format, std::uint64_t bytes);

  // Until the load's end, which is not later than this object's; each thread on a part of its own. Counts bytes read and written. One at a
  // time.
  [[nodiscard]] std::unique_ptr<Load> start(unsigned threads);

 private:
  std::unique_ptr<optim::Optimizer> optimizer_;
  UpdateArrays arrays_;
};

// Bytes that so many threads read and write a second, together: the better of an update and of adding one array to another.
double measure_bandwidth(unsigned threads, std::uint64_t bytes, const Patience& patience);

}  // namespace gsnake::measure
