// A parameter's values as fp32 elements, in our order: a tensor of a mapped file, or what a ValueSource has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "convert/import_plan.h"

namespace gsnake::convert {

// Reads forward. What was read is no longer resident: at most 64 MiB of the file and, where it is transposed, 32 MiB of elements.
class TensorReader {
 public:
  explicit TensorReader(const ParameterSource& source);
  TensorReader(const TensorReader&) = delete;
  TensorReader& operator=(const TensorReader&) = delete;
  ~TensorReader();
  // Elements [first, first + out.size()), row-major in our shape; `first` never decreases by more than what one panel holds.
  void read(std::uint64_t first, std::span<float> out);
  // The same as bytes of the file; not of what is transposed or comes from elsewhere.
  void copy(std::uint64_t first, std::span<std::byte> out);

 private:
  void widen(std::uint64_t first, std::span<float> out);  // in the file's order
  void load_panel(std::uint64_t row);
  void look_ahead(std::uint64_t begin, std::uint64_t end);

  const ParameterSource source_;
  const std::uint64_t element_bytes_;
  std::uint64_t asked_for_ = 0;  // of the tensor's bytes
  std::uint64_t dropped_ = 0;
  // Transposed: rows [panel_row_, panel_row_ + panel_rows_) of ours.
  std::uint64_t rows_ = 0;
  std::uint64_t columns_ = 0;
  std::uint64_t panel_row_ = 0;
  std::uint64_t panel_rows_ = 0;
  std::vector<float> panel_;
};

}  // namespace gsnake::convert
