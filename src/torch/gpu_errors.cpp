#include "torch/gpu_errors.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "core/first_line.h"
#include "device/device_failure.h"
#include "greedysnake/error.h"

namespace gsnake::backend {
namespace {

// cuBLAS and its like have no type of their own.
bool is_of_a_library(const std::string& what) {
  constexpr std::array<std::string_view, 4> kNames = {"CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "CUSOLVER_STATUS"};
  return std::any_of(kNames.begin(), kNames.end(), [&](std::string_view name) { return what.find(name) != std::string::npos; });
}

}  // namespace

void rethrow_of_gpu(const std::string& device) {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(ErrorKind::budget, fmt::format("{}: a unit's temporaries need more than their dry run told ({}); raise memory.device_budget, or lower train.micro_batch_size or train.sequence_length",
                                               device, core::first_line(error.what_without_backtrace())));
  } catch (const c10::AcceleratorError& error) {
    device::throw_failure(device, core::first_line(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string what = core::first_line(error.what_without_backtrace());
    if (is_of_a_library(what)) device::throw_failure(device, what);
    throw;
  }
}

}  // namespace gsnake::backend
