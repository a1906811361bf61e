#include "convert/destinations.h"

#include <algorithm>

#include "convert/import_plan.h"
#include "model/adapters.h"

namespace gsnake::convert {
namespace {

constexpr std::uint64_t kPanelBytes = 64ULL << 20;

bool belongs(const TensorName& name, const optim::FlatParameter& parameter, Contents contents) {
  return contents == Contents::model ? !name.adapter : parameter.info.trained;
}

// PEFT keeps a head that is trained whole beside the embedding that it is tied to.
void add_tied_head(Destinations& all, const Model& model, const plan::ModelLayout& layout, Dtype dtype) {
  if (!layout.tied || !layout.is_trained(static_cast<std::size_t>(layout.tied_object))) return;
  const std::size_t head = layout.units.size() - 1;
  const TensorName& name = name_of_parameter(model, head, model.tied.front().head_name);
  std::vector<Destination>& own = all.by_object[static_cast<std::size_t>(layout.tied_object)];
  const auto embedding = std::find_if(own.begin(), own.end(), [&](const Destination& each) { return each.offset == layout.tied_offset; });
  Destination copy = *embedding;
  copy.tensor = all.tensors.size();
  own.push_back(copy);
  hf::Tensor tensor;
  tensor.name = model::kAdapterPrefix + tensor_name(name, head);
  tensor.dtype = hf::name_of(dtype);
  tensor.shape = tensor_shape(name, layout.tied_sizes);
  all.tensors.push_back(std::move(tensor));
}

// PEFT's folder names what is trained whole as it does adapters.
std::string name_in(const TensorName& name, std::size_t unit, Contents contents) {
  return (contents == Contents::adapter && !name.adapter ? model::kAdapterPrefix : "") + tensor_name(name, unit);
}

}  // namespace

Destinations destinations_of(const Model& model, const plan::ModelLayout& layout, Dtype dtype, Contents contents) {
  Destinations all;
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    std::vector<Destination>& own = all.by_object.emplace_back();
    const std::size_t unit = layout.unit_of(object);
    for (const optim::FlatParameter& parameter : layout.flat(object).parameters) {
      const TensorName& name = name_of_parameter(model, unit, parameter.info.name);
      if (!belongs(name, parameter, contents)) {
        own.push_back({.offset = parameter.offset, .elements = parameter.info.numel, .wanted = false});
        continue;
      }
      hf::Tensor tensor;
      tensor.name = name_in(name, unit, contents);
      tensor.dtype = hf::name_of(dtype);
      tensor.shape = tensor_shape(name, parameter.info.sizes);
      own.push_back({parameter.offset, parameter.info.numel, all.tensors.size(), name.transposed ? tensor.shape[1] : 0,
                     name.transposed ? tensor.shape[0] : 0});
      all.tensors.push_back(std::move(tensor));
    }
  }
  if (contents == Contents::adapter) add_tied_head(all, model, layout, dtype);
  return all;
}

void Transposer::add(const Destination& matrix, std::span<const std::byte> part) {
  const std::uint64_t row_bytes = matrix.columns * width_;
  while (!part.empty()) {
    const std::uint64_t most_rows = std::clamp<std::uint64_t>(kPanelBytes / row_bytes, 1, matrix.rows - row_);
    const std::size_t take = std::min<std::size_t>(part.size(), most_rows * row_bytes - panel_.size());
    panel_.insert(panel_.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(take));
    part = part.subspan(take);
    if (panel_.size() == most_rows * row_bytes) flush(matrix, most_rows);
  }
}

void Transposer::flush(const Destination& matrix, std::uint64_t rows) {
  turned_.resize(panel_.size());
  if (width_ == 4) {
    turn<std::uint32_t>(rows, matrix.columns);
  } else {
    turn<std::uint16_t>(rows, matrix.columns);
  }
  if (rows == matrix.rows) {
    writer_.write(matrix.tensor, 0, turned_);
  } else {
    for (std::uint64_t column = 0; column < matrix.columns; ++column) {
      writer_.write(matrix.tensor, (column * matrix.rows + row_) * width_,
                    std::span(turned_).subspan(column * rows * width_, rows * width_));
    }
  }
  row_ = row_ + rows == matrix.rows ? 0 : row_ + rows;
  panel_.clear();
}

template <typename T>
void Transposer::turn(std::uint64_t rows, std::uint64_t columns) {
  constexpr std::uint64_t kTile = 32;
  const T* from = reinterpret_cast<const T*>(panel_.data());
  T* to = reinterpret_cast<T*>(turned_.data());
  for (std::uint64_t row = 0; row < rows; row += kTile) {
    for (std::uint64_t column = 0; column < columns; column += kTile) {
      for (std::uint64_t c = column; c < std::min(columns, column + kTile); ++c) {
        for (std::uint64_t r = row; r < std::min(rows, row + kTile); ++r) to[c * rows + r] = from[r * columns + c];
      }
    }
  }
}

}  // namespace gsnake::convert
