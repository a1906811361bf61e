#include "torch/gpu_errors.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "core/first_line.h"
#include "greedysnake/error.h"

namespace gsnake::backend {
namespace {

// cuBLAS and its like have no type of their own.
bool is_of_a_library(const std::string& what) {
  constexpr std::array<std::string_view, 4> kNames = {"CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "CUSOLVER_STATUS"};
  return std::any_of(kNames.begin(), kNames.end(), [&](std::string_view name) { return what.find(name) != std::string::npos; });
}

[[noreturn]] void device_failed(const std::string& device, const c10::Error& error) {
  throw Error(ErrorKind::device, fmt::format("{}: {}; the run goes on from its last commit with `gsnake train`; if it comes again, look for the driver's own word in the "
                                             "kernel's log (dmesg, NVRM)",
                                             device, core::first_line(error.what_without_backtrace())));
}

}  // namespace

void rethrow_of_gpu(const std::string& device) {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(ErrorKind::budget, fmt::format("{}: a unit's temporaries need more than their dry run told ({}); raise memory.device_budget, or lower train.micro_batch_size or train.sequence_length",
                                               device, core::first_line(error.what_without_backtrace())));
  } catch (const c10::AcceleratorError& error) {
    device_failed(device, error);
  } catch (const c10::Error& error) {
    if (is_of_a_library(error.what_without_backtrace())) device_failed(device, error);
    throw;
  }
}

}  // namespace gsnake::backend
