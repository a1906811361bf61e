#include "convert/import_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "convert/tensor_reader.h"
#include "core/log.h"
#include "greedysnake/error.h"
#include "hf/model_config.h"
#include "hf/refusal.h"
#include "model/layout.h"

namespace gsnake::convert {
namespace {

class Planner {
 public:
  Planner(const Model& model, const plan::ModelLayout& layout, const hf::WeightsFolder& folder, const AdapterSources& adapters)
      : model_(model), layout_(layout), folder_(folder), adapters_(adapters) {
    find_prefixes();
  }

  ImportPlan plan() {
    ImportPlan plan;
    for (std::size_t object = 0; object < layout_.object_count(); ++object) {
      std::vector<ParameterSource>& sources = plan.emplace_back();
      for (const optim::FlatParameter& parameter : layout_.flat(object).parameters) {
        const TensorName& name = name_of_parameter(model_, layout_.unit_of(object), parameter.info.name);
        sources.push_back(name.adapter ? adapters_(object, parameter, name) : source_of(layout_.unit_of(object), parameter.info));
      }
    }
    if (layout_.tied) check_tied_head();
    refuse_left_over();
    if (!outer_.empty()) spdlog::warn("{}: \"{}\" is left out in front of the tensors' names", folder_.folder(), hf::shown(outer_));
    return plan;
  }

 private:
  // A folder that was saved without the head leaves the model's own prefix out; one of a wrapped model (torch.compile, DistributedDataParallel,
  // a trainer's module) has another in front of every name. The embedding's name tells.
  void find_prefixes() {
    const auto& names = model_.names.tensors;
    const auto embedding = std::find_if(names.begin(), names.end(), [&](const TensorName& name) { return name.kind == model_.units.at(0); });
    if (embedding == names.end()) return;
    const std::string first = tensor_name(*embedding, 0);
    if (folder_.find(first) != nullptr) return;
    const std::string& own = model_.names.base_prefix;
    const std::string bare = !own.empty() && first.starts_with(own) ? first.substr(own.size()) : first;
    if (folder_.find(bare) == nullptr && !find_outer(first) && !find_outer(bare)) return;
    if (folder_.find(outer_ + first) == nullptr) left_out_ = own;
  }

  bool find_outer(const std::string& name) {
    for (const auto& [whole, source] : folder_.tensors()) {
      if (!whole.ends_with("." + name)) continue;
      outer_ = whole.substr(0, whole.size() - name.size());
      return true;
    }
    return false;
  }

  std::string name_in_folder(const TensorName& name, std::size_t unit) const {
    const std::string whole = tensor_name(name, unit);
    return outer_ + (!left_out_.empty() && whole.starts_with(left_out_) ? whole.substr(left_out_.size()) : whole);
  }

  [[noreturn]] void refuse_missing(const std::string& tensor, bool is_head) const {
    struct Hint {
      const char* part;
      const char* meaning;
    };
    constexpr std::array kHints{Hint{".lora_A", "of an adapter: merge it into its model (PEFT's merge_and_unload()) and save that"},
                                Hint{".base_layer.", "of a model with an adapter: merge the two (PEFT's merge_and_unload()) and save that"},
                                Hint{".qweight", "quantized: take the model's own folder, with bf16, fp16 or fp32 weights"},
                                Hint{".scales", "quantized: take the model's own folder, with bf16, fp16 or fp32 weights"}};
    const std::string what = fmt::format("tensor {} is missing, which the model needs", tensor);
    for (const Hint& hint : kHints) {
      for (const auto& [name, source] : folder_.tensors()) {
        if (name.find(hint.part) != std::string::npos) hf::refuse(folder_.folder(), fmt::format("{}; {} is {}", what, hf::shown(name), hint.meaning));
      }
    }
    if (is_head) {
      hf::refuse(folder_.folder(), fmt::format("{}: the model was saved without its head; take the whole one, or set tie_word_embeddings to true in "
                                               "config.json if its head is the embedding",
                                               what));
    }
    const std::string there = folder_.tensors().empty() ? "none" : hf::shown(folder_.tensors().begin()->first) + " and others";
    hf::refuse(folder_.folder(), fmt::format("{}; there: {}", what, there));
  }

  // Of two that are tied a writer may keep either: safetensors' own save_model() keeps the head.
  const hf::TensorSource* find(const std::string& tensor, std::size_t unit, const optim::ParameterInfo& info) const {
    const hf::TensorSource* source = folder_.find(tensor);
    if (source != nullptr || !layout_.tied || unit != 0 || info.name != model_.tied[0].embedding_name) return source;
    return folder_.find(name_in_folder(name_of_parameter(model_, layout_.units.size() - 1, model_.tied[0].head_name), layout_.units.size() - 1));
  }

  ParameterSource source_of(std::size_t unit, const optim::ParameterInfo& info) {
    const TensorName& name = name_of_parameter(model_, unit, info.name);
    const std::string tensor = name_in_folder(name, unit);
    const hf::TensorSource* source = find(tensor, unit, info);
    if (source == nullptr) refuse_missing(tensor, unit + 1 == layout_.units.size() && tensor.ends_with("head.weight"));
    used_.insert(source->tensor.name);
    check(*source, tensor_shape(name, info.sizes));
    return {source, *source->tensor.known_dtype(), name.transposed, nullptr};
  }

 public:

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

 private:
  // transformers unties a head that differs, whatever config.json says; one of another dtype may hold the same values.
  void check_tied_head() {
    const TensorName& head_name = name_of_parameter(model_, layout_.units.size() - 1, model_.tied[0].head_name);
    const hf::TensorSource* head = folder_.find(name_in_folder(head_name, layout_.units.size() - 1));
    const hf::TensorSource* embedding = folder_.find(name_in_folder(name_of_parameter(model_, 0, model_.tied[0].embedding_name), 0));
    if (head == nullptr || embedding == nullptr) return;  // one stands for both
    used_.insert(head->tensor.name);
    check(*head, embedding->tensor.shape);
    if (same_values(*head, *embedding)) return;
    hf::refuse(head->file->path(),
               fmt::format("tensor {} ({}) at offset {} differs from {} ({}), which it is tied to; set tie_word_embeddings to false in {}",
                           hf::shown(head->tensor.name), head->tensor.dtype, head->tensor.offset, hf::shown(embedding->tensor.name),
                           embedding->tensor.dtype, "config.json"));
  }

  static bool same_values(const hf::TensorSource& a, const hf::TensorSource& b) {
    constexpr std::uint64_t kPiece = 1ULL << 20;
    const auto elements = [](const hf::TensorSource& source) { return source.tensor.bytes / hf::size_of(*source.tensor.known_dtype()); };
    TensorReader one({&a, *a.tensor.known_dtype(), false, nullptr});
    TensorReader other({&b, *b.tensor.known_dtype(), false, nullptr});
    std::vector<float> values(std::min(kPiece, elements(a)));
    std::vector<float> others(values.size());
    for (std::uint64_t done = 0; done < elements(a); done += kPiece) {
      const std::uint64_t count = std::min(kPiece, elements(a) - done);
      one.read(done, {values.data(), count});
      other.read(done, {others.data(), count});
      if (std::memcmp(values.data(), others.data(), count * sizeof(float)) != 0) return false;
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
  const AdapterSources& adapters_;
  std::string outer_;     // in front of every name in the folder
  std::string left_out_;  // of the names that the model has
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

ParameterSource source_in(const hf::WeightsFolder& folder, const std::string& tensor, const TensorName& name, const std::vector<std::int64_t>& sizes) {
  const hf::TensorSource* source = folder.find(tensor);
  if (source == nullptr) {
    const std::string there = folder.tensors().empty() ? "none" : hf::shown(folder.tensors().begin()->first) + " and others";
    hf::refuse(folder.folder(), fmt::format("tensor {} is missing, which the model needs; there: {}", tensor, there));
  }
  Planner::check(*source, tensor_shape(name, sizes));
  return {source, *source->tensor.known_dtype(), name.transposed, nullptr};
}

ImportPlan make_import_plan(const Model& model, const plan::ModelLayout& layout, const hf::WeightsFolder& folder, const AdapterSources& adapters) {
  ImportPlan plan = Planner(model, layout, folder, adapters).plan();
  hf::tell_unread_keys(folder.folder());
  return plan;
}

std::uint64_t source_bytes(const ImportPlan& plan) {
  std::uint64_t bytes = 0;
  for (const auto& unit : plan) {
    for (const ParameterSource& parameter : unit) bytes += parameter.source != nullptr ? parameter.source->tensor.bytes : 0;
  }
  return bytes;
}

}  // namespace gsnake::convert
