// Whole training runs with device = "cuda:0", on the fake runtime and the fake GPU.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cuda/torch/support.h"
#include "device/device.h"
#include "train/parts.h"
#include "train/small_run.h"

namespace gsnake::test {

// Puts something between a session and its device, for a test that breaks it.
using WrapDevice = std::function<std::unique_ptr<device::Device>(std::unique_ptr<device::Device>)>;

// A run on the fake GPU, whose streams are late by `seed`; 0: never late. `ops`: what it has of this project's kernels; fused ones are set by who wants them.
TrainerOptions on_fake_gpu(std::uint64_t seed, WrapDevice wrap = {}, const cuda::KernelOps& ops = {});

// What must not matter on either device, and the order, which is maths.
struct RunSetting {
  const char* name;
  Schedule schedule;
  double delay;
  TierFractions state;
  TierFractions activations;
  double gradients_host;
  Durability durability;
};
extern const std::vector<RunSetting> kRunSettings;

// What a run's bits depend on, as a test's parameter.
struct Kind {
  ModelFamily family;
  Dtype dtype;
};
inline std::string name_of(const Kind& kind) { return std::string(word_of(kind.family)) + "_" + word_of(kind.dtype); }
inline void PrintTo(const Kind& kind, std::ostream* out) { *out << name_of(kind); }

std::vector<Kind> every_kind();

inline constexpr std::int64_t kRunMicroBatches = 3;
Config cuda_config(const RunSetting& setting, const ModelConfig& model, Dtype dtype, const TempFolder& folder);

}  // namespace gsnake::test
