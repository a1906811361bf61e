#include "quant/target.h"

#include <atomic>

#include "greedysnake/error.h"
#include "quant/kernels.h"

namespace gsnake::quant {
namespace {

std::atomic<const Kernels*> forced{nullptr};

}  // namespace

const Kernels& kernels() {
  if (const Kernels* table = forced.load(std::memory_order_relaxed)) return *table;
  const auto simd = simd_kernels();
  return simd.empty() ? scalar_kernels() : *simd.front();
}

std::vector<std::string> supported_targets() {
  std::vector<std::string> names;
  for (const Kernels* table : simd_kernels()) names.emplace_back(table->name);
  names.emplace_back(scalar_kernels().name);
  return names;
}

void force_target(const std::string& name) {
  const Kernels* found = nullptr;
  for (const Kernels* table : simd_kernels()) {
    if (name == table->name) found = table;
  }
  if (name == scalar_kernels().name) found = &scalar_kernels();
  if (found == nullptr && !name.empty()) {
    std::string known;
    for (const std::string& target : supported_targets()) known += (known.empty() ? "" : ", ") + target;
    throw Error(ErrorKind::usage, "SIMD target \"" + name + "\" cannot run on this CPU or is unknown; choose one of " + known);
  }
  forced.store(found, std::memory_order_relaxed);
}

}  // namespace gsnake::quant
