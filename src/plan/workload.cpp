#include "plan/workload.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <thread>

#include "greedysnake/ranks.h"
#include "plan/problem.h"

namespace gsnake::plan {
namespace {

void describe(std::string& text, const optim::FlatLayout& flat) {
  for (const optim::FlatParameter& parameter : flat.parameters) {
    text += fmt::format("{}[{}];", parameter.info.name, parameter.info.numel);
  }
}

// By path: those that another rank of the machine has another of.
std::vector<bool> own_drives(const Config& config) {
  std::vector<bool> own;
  for (const std::string& path : config.ssd.paths) own.push_back(folder_of_rank(path, 0, 1, 0) != folder_of_rank(path, 0, 1, 1));
  return own;
}

const char* role_of(const ModelLayout& layout, std::size_t unit) {
  if (unit == 0) return "embedding";
  return unit + 1 == layout.units.size() ? "head" : "block";
}

}  // namespace

int compute_threads(const Config& config) {
  if (config.train.compute_threads > 0) return static_cast<int>(config.train.compute_threads);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / config.ranks.local_count);
}

std::string unit_key(const Config& config, const ModelLayout& layout, std::size_t unit, NativeDtypes native) {
  const ModelConfig& model = config.model;
  const char* compute = word_of(resolve_compute_dtype(config.train.dtype, config.train.compute_dtype, native));
  std::string text = fmt::format("{} {} {} {} {} {} {} ", model.heads, model.kv_heads, model.head_dim, model.sliding_window, model.dropout, config.train.head_chunk, layout.hidden);
  describe(text, layout.shape(unit).flat);
  describe(text, layout.shape(unit).frozen);
  for (const PackedParameter& packed : layout.shape(unit).packed) text += quant::name_of(packed.format);
  if (layout.tied && unit + 1 == layout.units.size()) text += fmt::format("tied {}", layout.vocab);
  return fmt::format("{} {}, {} x {} tokens, {} in {}, {} threads{}, {:016x}", word_of(model.family), role_of(layout, unit), rows_of(config, Purpose::train),
                     config.train.sequence_length, word_of(config.train.dtype), compute, compute_threads(config), config.train.deterministic ? "" : ", not deterministic",
                     XXH3_64bits(text.data(), text.size()));
}

sim::MachineProfile profile_of_rank(const sim::MachineProfile& machine, const Config& config) {
  return sim::share_of(machine, config.ranks.local_count, own_drives(config));
}

sim::Workload workload_of(const Config& config, const ModelLayout& layout, NativeDtypes native) {
  sim::Workload workload;
  workload.weights = word_of(config.train.dtype);
  workload.computes_in = word_of(resolve_compute_dtype(config.train.dtype, config.train.compute_dtype, native));
  workload.tokens = static_cast<double>(tokens_of(config, Purpose::train));
  std::vector<std::string> of_shapes(layout.shapes.size());
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    std::string& key = of_shapes[static_cast<std::size_t>(layout.units[unit])];
    if (key.empty()) key = unit_key(config, layout, unit, native);
    workload.unit_keys.push_back(key);
  }
  for (const int shape : layout.units) workload.packed_elements.push_back(static_cast<double>(packed_matrix_elements(layout, static_cast<std::size_t>(shape))));
  workload.ranks = config.ranks.count;
  workload.local_ranks = config.ranks.local_count;
  workload.own_drives = own_drives(config);
  workload.checked = config.ssd.verify == ReadChecks::always;
  const EmulateConfig& caps = config.emulate;
  workload.emulated = {caps.compute, caps.h2d, caps.d2h, caps.ssd_read, caps.ssd_write, caps.optimizer, caps.collective};
  return workload;
}

}  // namespace gsnake::plan
