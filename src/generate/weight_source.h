// Where a model's weights are read from, object by object: the last commit of a run, or a Hugging Face folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/base.h"
#include "convert/import_plan.h"
#include "greedysnake/choices.h"
#include "hf/weights_folder.h"
#include "plan/model_layout.h"
#include "store/store.h"

namespace gsnake::generate {

// One thread at a time.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Of an object in memory: in the dtype that is computed in, or packed.
  [[nodiscard]] virtual std::uint64_t bytes(int object) const = 0;
  // That read() takes from a drive.
  [[nodiscard]] virtual std::uint64_t stored_bytes(int object) const = 0;
  // All of an object, checked against its checksums where there are some, to bytes(object) of memory that starts on a page. Throws Error(storage), Error(input).
  virtual void read(int object, std::byte* memory) = 0;
};

// Everything is borrowed; base: of packed objects.
std::unique_ptr<WeightSource> committed_weights(store::Store& store, const plan::ModelLayout& layout, Dtype stored, Dtype computed, const base::Base* base);
// `folder` and `plan`, which is of it, are borrowed.
std::unique_ptr<WeightSource> folder_weights(const convert::ImportPlan& plan, const plan::ModelLayout& layout, Dtype computed);

}  // namespace gsnake::generate
