// Where the tests of the fused operations run: the fake GPU with kernels built for the host, or a real GPU with the plug-in's.
#pragma once

#include "model/fused.h"

namespace gsnake::test {

// While it lives, models on cuda:0 compute with this project's kernels. Each program has its own (place.cpp).
class Place {
 public:
  Place();
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  static const char* why_not();  // null where there is one
  static int misuses();          // of CUDA that were seen
  const model::FusedOps& ops() const;
};

}  // namespace gsnake::test
