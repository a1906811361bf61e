#include "convert/import_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "greedysnake/error.h"
#include "hf/refusal.h"
#include "model/layout.h"

namespace gsnake::convert {
namespace {

class Planner {
 public:
  Planner(const Model& model, const plan::ModelLayout& layout, const hf::WeightsFolder& folder)
      : model_(model), layout_(layout), folder_(folder), prefix_(missing_prefix()) {}

  ImportPlan plan() {
    ImportPlan plan;
    for (std::size_t object = 0; object < layout_.object_count(); ++object) {
      std::vector<ParameterSource>& sources = plan.emplace_back();
      for (const optim::FlatParameter& parameter : layout_.flat(object).parameters) sources.push_back(source_of(layout_.unit_of(object), parameter.info));
    }
    if (layout_.tied) check_tied_head();
    refuse_left_over();
    return plan;
  }

 private:
  // A folder that was saved without the head leaves the prefix out.
  std::string missing_prefix() const {
    const std::string& prefix = model_.names.base_prefix;
    const auto& tensors = folder_.tensors();
    const bool has_prefix =
        prefix.empty() || std::any_of(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first.starts_with(prefix); });
    return has_prefix ? "" : prefix;
  }

  std::string name_in_folder(const TensorName& name, std::size_t unit) const {
    const std::string whole = tensor_name(name, unit);
    return !prefix_.empty() && whole.starts_with(prefix_) ? whole.substr(prefix_.size()) : whole;
  }

  ParameterSource source_of(std::size_t unit, const optim::ParameterInfo& info) {
    const TensorName& name = name_of_parameter(model_, unit, info.name);
    const std::string tensor = name_in_folder(name, unit);
    const hf::TensorSource* source = folder_.find(tensor);
    if (source == nullptr) hf::refuse(folder_.folder(), fmt::format("tensor {} is missing, which the model needs", tensor));
    used_.insert(tensor);
    check(*source, tensor_shape(name, info.sizes));
    return {source, *source->tensor.known_dtype(), name.transposed};
  }

  static void check(const hf::TensorSource& source, const std::vector<std::uint64_t>& shape) {
    const hf::Tensor& tensor = source.tensor;
    const std::string what = fmt::format("tensor {} at offset {}", hf::shown(tensor.name), tensor.offset);
    if (tensor.shape != shape) {
      hf::refuse(source.file->path(),
                 fmt::format("{}: its shape is {}, the model's is {}", what, hf::shape_text(tensor.shape), hf::shape_text(shape)));
    }
    if (!tensor.known_dtype())
      hf::refuse(source.file->path(), fmt::format("{}: its dtype is {}; F32, F16 and BF16 can be read", what, tensor.dtype));
  }

  // transformers takes the embedding's: a head that differs would be dropped silently.
  void check_tied_head() {
    const TensorName& head_name = name_of_parameter(model_, layout_.units.size() - 1, model_.tied[0].head_name);
    const hf::TensorSource* head = folder_.find(name_in_folder(head_name, layout_.units.size() - 1));
    if (head == nullptr) return;
    used_.insert(head->tensor.name);
    const hf::TensorSource* embedding = folder_.find(name_in_folder(name_of_parameter(model_, 0, model_.tied[0].embedding_name), 0));
    if (head->tensor.dtype == embedding->tensor.dtype && head->tensor.shape == embedding->tensor.shape && same_bytes(*head, *embedding))
      return;
    hf::refuse(head->file->path(),
               fmt::format("tensor {} at offset {} differs from {}, which it is tied to; set tie_word_embeddings to false in {}",
                           hf::shown(head->tensor.name), head->tensor.offset, hf::shown(embedding->tensor.name), "config.json"));
  }

  static bool same_bytes(const hf::TensorSource& a, const hf::TensorSource& b) {
    constexpr std::uint64_t kPiece = 32ULL << 20;
    for (std::uint64_t done = 0; done < a.tensor.bytes; done += kPiece) {
      const std::uint64_t size = std::min(kPiece, a.tensor.bytes - done);
      const bool same =
          std::memcmp(a.file->bytes().data() + a.tensor.offset + done, b.file->bytes().data() + b.tensor.offset + done, size) == 0;
      a.file->done_with(a.tensor.offset + done, size);
      b.file->done_with(b.tensor.offset + done, size);
      if (!same) return false;
    }
    return true;
  }

  void refuse_left_over() const {
    for (const auto& [name, source] : folder_.tensors()) {
      const auto& endings = model_.names.ignored_endings;
      const bool ignored = std::any_of(endings.begin(), endings.end(), [&](const std::string& ending) { return name.ends_with(ending); });
      if (used_.contains(name) || ignored) continue;
      hf::refuse(source.file->path(),
                 fmt::format("tensor {} at offset {} is none of the model's; it would be lost", hf::shown(name), source.tensor.offset));
    }
  }

  const Model& model_;
  const plan::ModelLayout& layout_;
  const hf::WeightsFolder& folder_;
  std::string prefix_;
  std::set<std::string> used_;
};

}  // namespace

const TensorName& name_of_parameter(const Model& model, std::size_t unit, const std::string& parameter) {
  const int kind = model.units.at(unit);
  const auto& tensors = model.names.tensors;
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorName& name) { return name.kind == kind && name.parameter == parameter; });
  if (found != tensors.end()) return *found;
  throw Error(ErrorKind::usage, fmt::format("model: its name map has no name for the parameter {} of {}; add one to Model::names",
                                            parameter, model::name_of_unit(model, static_cast<int>(unit))));
}

std::string tensor_name(const TensorName& name, std::size_t unit) {
  const std::size_t place = name.name.find("{}");
  if (place == std::string::npos) return name.name;
  return name.name.substr(0, place) + std::to_string(unit - 1) + name.name.substr(place + 2);
}

std::vector<std::uint64_t> tensor_shape(const TensorName& name, const std::vector<std::int64_t>& sizes) {
  std::vector<std::uint64_t> shape(sizes.begin(), sizes.end());
  if (!name.transposed) return shape;
  if (shape.size() != 2)
    throw Error(ErrorKind::usage, fmt::format("model: its name map transposes {}, which is no matrix", name.parameter));
  std::swap(shape[0], shape[1]);
  return shape;
}

ImportPlan make_import_plan(const Model& model, const plan::ModelLayout& layout, const hf::WeightsFolder& folder) {
  return Planner(model, layout, folder).plan();
}

std::uint64_t source_bytes(const ImportPlan& plan) {
  std::uint64_t bytes = 0;
  for (const auto& unit : plan) {
    for (const ParameterSource& parameter : unit) bytes += parameter.source->tensor.bytes;
  }
  return bytes;
}

}  // namespace gsnake::convert
