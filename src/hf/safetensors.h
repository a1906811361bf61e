// The safetensors format: 8 bytes with the header's length (little-endian), the header (JSON), then the tensors' bytes without a gap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "greedysnake/choices.h"

namespace gsnake::hf {

// Of tensors that can be read and written; files may hold others.
using gsnake::Dtype;
[[nodiscard]] std::uint64_t size_of(Dtype dtype) noexcept;
[[nodiscard]] const char* name_of(Dtype dtype) noexcept;        // "F32", as in the header
[[nodiscard]] const char* torch_name_of(Dtype dtype) noexcept;  // "float32", as in config.json

struct Tensor {
  std::string name;
  std::string dtype;  // as in the header
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  // of its first byte in the file
  std::uint64_t bytes = 0;

  [[nodiscard]] std::optional<Dtype> known_dtype() const;
};

// "(2, 3)".
[[nodiscard]] std::string shape_text(std::span<const std::uint64_t> shape);

// Of a whole file's bytes: its tensors, by offset, checked: each lies in the file, is as long as its shape and dtype say, and they cover
// the data without overlap or hole. Throws Error(input) that names `path`, the tensor and the offset.
std::vector<Tensor> parse_safetensors(const std::string& path, std::span<const std::byte> file);

// The bytes before the data: length, and a header padded so that the data starts on a multiple of 8. Offsets are given to the tensors one
// after another (`offset` and `bytes` are set).
std::string make_safetensors_header(std::vector<Tensor>& tensors);

}  // namespace gsnake::hf
