// Where a model's parameters go in a folder that is written, and matrices that are stored transposed there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "greedysnake/unit.h"
#include "hf/shard_writer.h"
#include "plan/model_layout.h"

namespace gsnake::convert {

// A parameter of a unit's flat vector on its way to its tensor.
struct Destination {
  std::uint64_t offset = 0;  // in elements of the object
  std::uint64_t elements = 0;
  std::size_t tensor = 0;  // of the writer's
  std::uint64_t rows = 0;  // ours, where it is transposed; else 0
  std::uint64_t columns = 0;
  bool wanted = true;      // else it goes nowhere
};

struct Destinations {
  std::vector<std::vector<Destination>> by_object;  // in the order of its flat layout
  std::vector<hf::Tensor> tensors;
};

// The model's own parameters, or the adapters' and what is trained whole beside them.
enum class Contents : std::uint8_t { model, adapter };

Destinations destinations_of(const Model& model, const plan::ModelLayout& layout, Dtype dtype, Contents contents = Contents::model);

// Collects rows of a matrix and writes them as columns: all at once where they take at most 64 MiB, else panel by panel.
class Transposer {
 public:
  Transposer(hf::ShardWriter& writer, std::uint64_t element_bytes) : writer_(writer), width_(element_bytes) {}
  // Row-major elements, in order from the first on.
  void add(const Destination& matrix, std::span<const std::byte> part);

 private:
  void flush(const Destination& matrix, std::uint64_t rows);
  template <typename T>
  void turn(std::uint64_t rows, std::uint64_t columns);

  hf::ShardWriter& writer_;
  const std::uint64_t width_;
  std::uint64_t row_ = 0;  // of the matrix, at which the panel begins
  std::vector<std::byte> panel_;
  std::vector<std::byte> turned_;
};

}  // namespace gsnake::convert
