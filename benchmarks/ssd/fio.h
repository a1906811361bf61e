// fio's io_uring engine on the same files: the limit that ours is held against.
#pragma once

#include "ssd/workload.h"

namespace gsnake::bench {

// "fio-3.33"; empty where it is not installed or lacks io_uring.
[[nodiscard]] std::string fio_version();

// The same blocks in the same order as measure() with whole blocks, with registered files and buffers and, as ours, memory on huge pages.
// Throws Error(storage) with fio's words where it fails.
Sample measure_fio(Mode mode, const Setting& setting, const TestFiles& files);

}  // namespace gsnake::bench
