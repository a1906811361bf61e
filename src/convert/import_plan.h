// Which tensor of a Hugging Face folder each parameter of a model comes from.
#pragma once

#include <string>
#include <vector>

#include "greedysnake/unit.h"
#include "hf/weights_folder.h"
#include "plan/model_layout.h"

namespace gsnake::convert {

struct ParameterSource {
  const hf::TensorSource* source = nullptr;
  hf::Dtype dtype = hf::Dtype::fp32;
  bool transposed = false;
};

using ImportPlan = std::vector<std::vector<ParameterSource>>;  // by object, in the order of its flat layout

// The name of a parameter in such a folder. Throws Error(usage) when the model's name map lacks it.
const TensorName& name_of_parameter(const Model& model, std::size_t unit, const std::string& parameter);
std::string tensor_name(const TensorName& name, std::size_t unit);
// Its shape there.
std::vector<std::uint64_t> tensor_shape(const TensorName& name, const std::vector<std::int64_t>& sizes);

// Checks all of it: every parameter has a tensor of its shape, in fp32, fp16 or bf16, and no tensor is left over. Of a tied head's own
// tensor, values are compared with the embedding's. Logs a line for the keys of config.json that are passed over, and one for a prefix of
// the tensors' names that is. Throws Error(input) that names file, tensor and offset. `folder` is borrowed.
ImportPlan make_import_plan(const Model& model, const plan::ModelLayout& layout, const hf::WeightsFolder& folder);

// Bytes that the plan reads.
std::uint64_t source_bytes(const ImportPlan& plan);

}  // namespace gsnake::convert
