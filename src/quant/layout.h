// Where the sections of a packed tensor are. Private to this module.
#pragma once

#include <cstdint>

#include "quant/format.h"

namespace gsnake::quant {

// Offsets and sizes in bytes; the codes begin at 0. A section that a format lacks is empty. Sizes are without padding.
struct Layout {
  std::uint64_t block = 1;      // elements
  std::uint64_t code_bits = 0;  // of an element
  std::uint64_t blocks = 0;
  std::uint64_t code_bytes = 0;
  std::uint64_t scales = 0;
  std::uint64_t scale_bytes = 0;
  std::uint64_t second = 0;
  std::uint64_t second_bytes = 0;
  std::uint64_t bytes = 0;

  // Of so many elements; half a byte counts as one.
  [[nodiscard]] std::uint64_t codes_of(std::uint64_t elements) const {
    return elements / 2 * code_bits / 4 + elements % 2 * ((code_bits + 7) / 8);
  }
};

Layout layout_of(Format format, std::uint64_t elements);

}  // namespace gsnake::quant
