#include "torch/packed_weights.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "core/bytes.h"
#include "greedysnake/error.h"
#include "model/layers.h"
#include "model/layout.h"

namespace gsnake::backend {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::int64_t kElementsAThread = 1 << 16;

memory::AnonymousMemory mapped(std::uint64_t elements, at::ScalarType dtype) {
  return memory::AnonymousMemory(core::round_up(elements * c10::elementSize(dtype), kPage));
}

// Elements [first, first + count) of a packed tensor, in `compute`.
struct Packed {
  const std::byte* at = nullptr;
  std::uint64_t elements = 0;
  quant::Format format = quant::Format::fp32;
  at::ScalarType compute = torch::kFloat32;

  void run(std::uint64_t first, std::int64_t count, std::byte* out) const {
    const auto size = static_cast<std::size_t>(count);
    if (compute == torch::kFloat32) return quant::dequantise(format, at, elements, first, std::span(reinterpret_cast<float*>(out), size));
    quant::dequantise(format, at, elements, first, std::span(reinterpret_cast<std::uint16_t*>(out), size));
  }
  void run_by_all_threads(std::uint64_t first, std::int64_t count, std::byte* out) const {
    at::parallel_for(0, count, kElementsAThread, [&](std::int64_t begin, std::int64_t end) {
      run(first + static_cast<std::uint64_t>(begin), end - begin, out + static_cast<std::uint64_t>(begin) * c10::elementSize(compute));
    });
  }
};

}  // namespace

// A packed matrix in a slot. `dense` has all of it where it was dequantised as a whole, `part` room for what is asked for at once.
class SlotRows final : public model::FrozenRows {
 public:
  SlotRows(const optim::FlatParameter& parameter, const plan::PackedParameter& packed, at::ScalarType compute, std::uint64_t& dequantised)
      : rows_(parameter.info.sizes.at(0)), columns_(parameter.info.sizes.at(1)), offset_(packed.offset),
        packed_{nullptr, parameter.info.numel, packed.format, compute}, dequantised_(dequantised) {}

  [[nodiscard]] std::int64_t rows() const override { return rows_; }
  [[nodiscard]] std::int64_t columns() const override { return columns_; }

  void set(const std::byte* slot, std::byte* dense, std::byte* part) {
    packed_.at = slot + offset_;
    dense_ = dense;
    part_ = part;
  }

  [[nodiscard]] torch::Tensor take(std::int64_t first, std::int64_t count) const override {
    const auto begin = static_cast<std::uint64_t>(first * columns_);
    if (dense_ != nullptr) return model::over(dense_ + begin * c10::elementSize(packed_.compute), {count, columns_}, packed_.compute);
    dequantise(begin, count * columns_, part_);
    return model::over(part_, {count, columns_}, packed_.compute);
  }

  [[nodiscard]] torch::Tensor gather(const torch::Tensor& ids) const override {
    const torch::Tensor flat = ids.reshape({-1});
    torch::Tensor out = torch::empty({flat.size(0), columns_}, torch::dtype(packed_.compute));
    const auto* wanted = flat.const_data_ptr<std::int64_t>();
    auto* to = static_cast<std::byte*>(out.mutable_data_ptr());
    const auto row_bytes = static_cast<std::uint64_t>(columns_) * c10::elementSize(packed_.compute);
    for (std::int64_t i = 0; i < flat.size(0); ++i) {
      if (wanted[i] < 0 || wanted[i] >= rows_) throw Error(ErrorKind::usage, "token id " + std::to_string(wanted[i]) + " is not below the embedding's " + std::to_string(rows_));
    }
    at::parallel_for(0, flat.size(0), std::max<std::int64_t>(1, kElementsAThread / columns_), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) packed_.run(static_cast<std::uint64_t>(wanted[i] * columns_), columns_, to + static_cast<std::uint64_t>(i) * row_bytes);
    });
    dequantised_ += static_cast<std::uint64_t>(out.numel());
    std::vector<std::int64_t> sizes = ids.sizes().vec();
    sizes.push_back(columns_);
    return out.view(sizes);
  }

  void dequantise(std::uint64_t first, std::int64_t count, std::byte* out) const {
    packed_.run_by_all_threads(first, count, out);
    dequantised_ += static_cast<std::uint64_t>(count);
  }
  [[nodiscard]] std::uint64_t elements() const { return packed_.elements; }

 private:
  const std::int64_t rows_;
  const std::int64_t columns_;
  const std::uint64_t offset_;
  Packed packed_;
  std::uint64_t& dequantised_;
  std::byte* dense_ = nullptr;
  std::byte* part_ = nullptr;
};

struct PackedWeights::Shape {
  struct Matrix {
    std::unique_ptr<SlotRows> rows;
    model::Linear* linear = nullptr;  // one of the two
    model::Embedding* embedding = nullptr;
  };
  struct Vector {
    std::size_t index = 0;  // of the module's parameters
    std::vector<std::int64_t> sizes;
    std::uint64_t elements = 0;
    plan::PackedParameter packed;
  };
  std::vector<Matrix> matrices;
  std::vector<Vector> vectors;
  bool whole = false;
};

PackedWeights::PackedWeights(Model& model, const plan::ModelLayout& layout, at::ScalarType compute, std::uint64_t most_bytes)
    : layout_(layout), compute_(compute), shapes_(layout.shapes.size()) {
  const std::uint64_t width = c10::elementSize(compute);
  const plan::DequantisedElements elements = plan::dequantised_elements(layout, most_bytes, width);
  whole_ = mapped(elements.whole, compute);
  part_ = mapped(elements.part, compute);
  vectors_ = mapped(elements.vectors, compute);
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    const auto index = static_cast<std::size_t>(layout.units[unit]);
    const plan::UnitShape& from = layout.shapes[index];
    if (shapes_[index] || !from.is_packed()) continue;
    Shape& shape = *(shapes_[index] = std::make_unique<Shape>());
    shape.whole = plan::dequantised_whole(layout, index, most_bytes, width);
    torch::nn::Module& module = *model.kinds[static_cast<std::size_t>(model.units[unit])].module;
    const optim::FlatLayout& flat = from.what_is_frozen();
    for (std::size_t i = 0; i < flat.parameters.size(); ++i) {
      const optim::FlatParameter& parameter = flat.parameters[i];
      if (parameter.info.dims != 2) {
        shape.vectors.push_back({parameter.index, parameter.info.sizes, parameter.info.numel, from.packed[i]});
        continue;
      }
      const std::shared_ptr<torch::nn::Module> owner = model::owner_of(module, parameter.info.name);
      Shape::Matrix matrix{std::make_unique<SlotRows>(parameter, from.packed[i], compute, dequantised_), dynamic_cast<model::Linear*>(owner.get()),
                           dynamic_cast<model::Embedding*>(owner.get())};
      if (matrix.linear == nullptr && matrix.embedding == nullptr) {
        throw Error(ErrorKind::usage, "adapter.base: the parameter " + parameter.info.name + " of " + model::name_of_unit(model, static_cast<int>(unit)) +
                                          " is of a layer of its own, which packed weights can't be given to; use a built-in family");
      }
      shape.matrices.push_back(std::move(matrix));
    }
  }
  if (!layout.tied || !layout.is_packed(static_cast<std::size_t>(layout.tied_object))) return;
  const plan::UnitShape& embedding = layout.shape(0);
  const optim::FlatLayout& flat = embedding.what_is_frozen();
  const auto shared = std::find_if(flat.parameters.begin(), flat.parameters.end(), [&](const optim::FlatParameter& each) { return each.offset == layout.tied_offset; });
  tied_ = std::make_unique<SlotRows>(*shared, embedding.packed[static_cast<std::size_t>(shared - flat.parameters.begin())], compute, dequantised_);
  const auto head = model::owner_of(*model.kinds[static_cast<std::size_t>(model.units.back())].module, model.tied.front().head_name);
  tied_head_ = &dynamic_cast<model::Linear&>(*head);
}

// The modules live on, and may be bound to other memory.
PackedWeights::~PackedWeights() {
  if (tied_head_ != nullptr) tied_head_->set_rows(nullptr);
  for (const std::unique_ptr<Shape>& shape : shapes_) {
    if (!shape) continue;
    for (const Shape::Matrix& matrix : shape->matrices) {
      if (matrix.linear != nullptr) matrix.linear->set_rows(nullptr);
      if (matrix.embedding != nullptr) matrix.embedding->set_rows(nullptr);
    }
  }
}

void PackedWeights::bind(int unit, int object, const std::byte* packed, bool opens, model::ParameterSet& parameters) {
  Shape& shape = shape_of(unit);
  // Another backend of the same modules may have been at work.
  for (const Shape::Matrix& matrix : shape.matrices) {
    if (matrix.linear != nullptr) matrix.linear->set_rows(matrix.rows.get());
    if (matrix.embedding != nullptr) matrix.embedding->set_rows(matrix.rows.get());
  }
  const bool known = !opens && vectors_object_ == object && in_vectors_ == packed;
  std::byte* vector = vectors_.data();
  for (const Shape::Vector& each : shape.vectors) {
    if (!known) Packed{packed + each.packed.offset, each.elements, each.packed.format, compute_}.run(0, static_cast<std::int64_t>(each.elements), vector);
    parameters.bind(each.index, model::over(vector, each.sizes, compute_));
    vector += core::round_up(each.elements, optim::kParameterAlignment) * c10::elementSize(compute_);
  }
  in_vectors_ = packed;
  vectors_object_ = object;
  if (shape.whole) {
    const bool there = !opens && whole_object_ == object && in_whole_ == packed;
    std::byte* dense = whole_.data();
    for (const Shape::Matrix& matrix : shape.matrices) {
      matrix.rows->set(packed, dense, nullptr);
      if (!there) matrix.rows->dequantise(0, static_cast<std::int64_t>(matrix.rows->elements()), dense);
      dense += core::round_up(matrix.rows->elements(), optim::kParameterAlignment) * c10::elementSize(compute_);
    }
    whole_object_ = object;
    in_whole_ = packed;
  } else {
    for (const Shape::Matrix& matrix : shape.matrices) matrix.rows->set(packed, nullptr, part_.data());
  }
}

void PackedWeights::bind_tied(const std::byte* packed) {
  tied_->set(packed, nullptr, part_.data());
  tied_head_->set_rows(tied_.get());
}

void PackedWeights::forget() noexcept {
  whole_object_ = -1;
  vectors_object_ = -1;
}

}  // namespace gsnake::backend
