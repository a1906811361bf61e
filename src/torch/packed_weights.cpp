#include "torch/packed_weights.h"

#include <algorithm>

#include "core/bytes.h"
#include "greedysnake/error.h"
#include "model/layers.h"
#include "model/layout.h"

namespace gsnake::backend {
namespace {

constexpr std::uint64_t kPage = 4096;
}  // namespace

// A packed matrix in a slot. `dense` has all of it where it was dequantised as a whole, `part` room for what is asked for at once.
class SlotRows final : public model::FrozenRows {
 public:
  SlotRows(const optim::FlatParameter& parameter, const plan::PackedParameter& packed, at::ScalarType compute, c10::Device device, const PackedOps& ops,
           std::atomic<std::uint64_t>& dequantised)
      : tensor_{packed.format, nullptr, parameter.info.sizes.at(0), parameter.info.sizes.at(1)}, offset_(packed.offset), compute_(compute), device_(device), ops_(ops),
        dequantised_(dequantised) {}

  [[nodiscard]] std::int64_t rows() const override { return tensor_.rows; }
  [[nodiscard]] std::int64_t columns() const override { return tensor_.columns; }

  void set(const std::byte* slot, std::byte* dense, std::byte* part) {
    tensor_.at = slot + offset_;
    dense_ = dense;
    part_ = part;
  }

  [[nodiscard]] torch::Tensor take(std::int64_t first, std::int64_t count) const override {
    const std::int64_t begin = first * tensor_.columns;
    if (dense_ != nullptr) return model::over(dense_ + static_cast<std::uint64_t>(begin) * c10::elementSize(compute_), {count, tensor_.columns}, compute_, device_);
    dequantise(begin, count * tensor_.columns, part_);
    return model::over(part_, {count, tensor_.columns}, compute_, device_);
  }

  [[nodiscard]] torch::Tensor gather(const torch::Tensor& ids) const override {
    const torch::Tensor flat = ids.reshape({-1});
    torch::Tensor out = torch::empty({flat.size(0), tensor_.columns}, torch::dtype(compute_).device(device_));
    ops_.gather(tensor_, flat, out);
    dequantised_.fetch_add(static_cast<std::uint64_t>(out.numel()), std::memory_order_relaxed);
    std::vector<std::int64_t> sizes = ids.sizes().vec();
    sizes.push_back(tensor_.columns);
    return out.view(sizes);
  }

  void dequantise(std::int64_t first, std::int64_t count, std::byte* out) const {
    ops_.dequantise(tensor_, first, count, compute_, out);
    dequantised_.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t elements() const { return tensor_.elements(); }

 private:
  PackedTensor tensor_;
  const std::uint64_t offset_;
  const at::ScalarType compute_;
  const c10::Device device_;
  const PackedOps& ops_;
  std::atomic<std::uint64_t>& dequantised_;
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
    std::int64_t elements = 0;
    plan::PackedParameter packed;
  };
  std::vector<Matrix> matrices;
  std::vector<Vector> vectors;
  bool whole = false;
};

PackedWeights::Buffer PackedWeights::buffer(std::uint64_t elements) const {
  const std::uint64_t bytes = core::round_up(elements * c10::elementSize(compute_), kPage);
  if (accelerator_ == nullptr) return {memory::AnonymousMemory(bytes), nullptr};
  if (bytes == 0) return {};
  try {
    return {{}, accelerator_->allocate(bytes)};
  } catch (const Error& error) {
    throw Error(ErrorKind::budget, "memory.device_budget: " + core::format_bytes(bytes) + " for dequantised weights are not free on the device (" + error.what() +
                                       "); lower it, or let go of what else is there");
  }
}

std::uint64_t PackedWeights::padded_bytes(std::int64_t elements) const {
  return core::round_up(static_cast<std::uint64_t>(elements), optim::kParameterAlignment) * c10::elementSize(compute_);
}

PackedWeights::PackedWeights(Model& model, const plan::ModelLayout& layout, at::ScalarType compute, std::uint64_t most_bytes, DeviceSupport* accelerator)
    : layout_(layout), compute_(compute), accelerator_(accelerator), shapes_(layout.shapes.size()) {
  const std::uint64_t width = c10::elementSize(compute);
  if (accelerator != nullptr) ops_ = accelerator->packed_ops();
  const plan::DequantisedElements elements = plan::dequantised_elements(layout, most_bytes, width);
  if (ops_ == nullptr && elements.whole + elements.part + elements.vectors > 0) {
    throw Error(ErrorKind::usage, "adapter.base: this build's CUDA plug-in has no kernels for packed weights; build it where nvcc is installed, or set memory.device = \"cpu\"");
  }
  whole_ = buffer(elements.whole);
  part_ = buffer(elements.part);
  vectors_ = buffer(elements.vectors);
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
        shape.vectors.push_back({parameter.index, parameter.info.sizes, static_cast<std::int64_t>(parameter.info.numel), from.packed[i]});
        continue;
      }
      const std::shared_ptr<torch::nn::Module> owner = model::owner_of(module, parameter.info.name);
      Shape::Matrix matrix{std::make_unique<SlotRows>(parameter, from.packed[i], compute, device(), *ops_, dequantised_), dynamic_cast<model::Linear*>(owner.get()),
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
  tied_ = std::make_unique<SlotRows>(*shared, embedding.packed[static_cast<std::size_t>(shared - flat.parameters.begin())], compute, device(), *ops_, dequantised_);
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
    if (!known) ops_->dequantise({each.packed.format, packed + each.packed.offset, each.elements, 1}, 0, each.elements, compute_, vector);
    parameters.bind(each.index, model::over(vector, each.sizes, compute_, device()));
    vector += padded_bytes(each.elements);
  }
  in_vectors_ = packed;
  vectors_object_ = object;
  if (shape.whole) {
    const bool there = !opens && whole_object_ == object && in_whole_ == packed;
    std::byte* dense = whole_.data();
    for (const Shape::Matrix& matrix : shape.matrices) {
      matrix.rows->set(packed, dense, nullptr);
      if (!there) matrix.rows->dequantise(0, matrix.rows->elements(), dense);
      dense += padded_bytes(matrix.rows->elements());
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
