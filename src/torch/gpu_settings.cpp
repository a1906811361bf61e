#include "torch/gpu_settings.h"

#include <ATen/Context.h>

#include <mutex>

namespace gsnake::backend {
namespace {

struct Settings {
  bool deterministic = false;
  bool warns_only = false;
  bool fills = true;
  bool cudnn = true;
};

std::mutex mutex;
int scopes = 0;
int deterministic_scopes = 0;
Settings before;  // the first of them

}  // namespace

GpuSettings::GpuSettings(bool on_gpu, bool deterministic) : on_gpu_(on_gpu), deterministic_(deterministic) {
  if (!on_gpu_) return;
  const std::lock_guard lock(mutex);
  at::Context& context = at::globalContext();
  deterministic_scopes += deterministic_ ? 1 : 0;
  if (scopes++ == 0) {
    before = {context.deterministicAlgorithms(), context.deterministicAlgorithmsWarnOnly(), context.deterministicFillUninitializedMemory(), context.userEnabledCuDNNSDP()};
    context.setDeterministicFillUninitializedMemory(false);  // or every tensor that is made would be written once more
    context.setSDPUseCuDNN(false);
  }
  context.setDeterministicAlgorithms(deterministic_scopes > 0, false);
}

GpuSettings::~GpuSettings() {
  if (!on_gpu_) return;
  const std::lock_guard lock(mutex);
  at::Context& context = at::globalContext();
  deterministic_scopes -= deterministic_ ? 1 : 0;
  if (--scopes > 0) {
    context.setDeterministicAlgorithms(deterministic_scopes > 0, false);
    return;
  }
  context.setDeterministicAlgorithms(before.deterministic, before.warns_only);
  context.setDeterministicFillUninitializedMemory(before.fills);
  context.setSDPUseCuDNN(before.cudnn);
}

}  // namespace gsnake::backend
