// Which tensor of a Hugging Face folder each parameter of a model comes from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "greedysnake/unit.h"
#include "hf/weights_folder.h"
#include "plan/model_layout.h"

namespace gsnake::convert {

// A parameter's values that stand in no Hugging Face folder.
class ValueSource {
 public:
  virtual ~ValueSource() = default;
  // Elements [first, first + out.size()), row-major in our shape.
  virtual void read(std::uint64_t first, std::span<float> out) = 0;
  [[nodiscard]] virtual std::string name() const = 0;  // for messages
};

// One of the two.
struct ParameterSource {
  const hf::TensorSource* source = nullptr;
  hf::Dtype dtype = hf::Dtype::fp32;
  bool transposed = false;
  std::shared_ptr<ValueSource> values;
};

using ImportPlan = std::vector<std::vector<ParameterSource>>;  // by object, in the order of its flat layout

// The name of a parameter in such a folder. Throws Error(usage) when the model's name map lacks it.
const TensorName& name_of_parameter(const Model& model, std::size_t unit, const std::string& parameter);
std::string tensor_name(const TensorName& name, std::size_t unit);
// Its shape there.
std::vector<std::uint64_t> tensor_shape(const TensorName& name, const std::vector<std::int64_t>& sizes);

// Where an adapter's parameter comes from: the unit's, by its name there.
using AdapterSources = std::function<ParameterSource(std::size_t object, const optim::FlatParameter& parameter, const TensorName& name)>;

// Of `folder`, in the dtypes that are known. Throws Error(input) for another shape or dtype.
ParameterSource source_in(const hf::WeightsFolder& folder, const std::string& tensor, const TensorName& name, const std::vector<std::int64_t>& sizes);

// Checks all of it: every parameter has a tensor of its shape, in fp32, fp16 or bf16, and no tensor is left over. Of a tied head's own
// tensor, values are compared with the embedding's. Logs a line for the keys of config.json that are passed over, and one for a prefix of
// the tensors' names that is. Throws Error(input) that names file, tensor and offset. `folder` is borrowed.
ImportPlan make_import_plan(const Model& model, const plan::ModelLayout& layout, const hf::WeightsFolder& folder, const AdapterSources& adapters = {});

// Bytes that the plan reads.
std::uint64_t source_bytes(const ImportPlan& plan);

}  // namespace gsnake::convert
