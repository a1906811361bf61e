// Which tokens of another file the loss counts.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/input_file.h"
#include "data/token_file.h"

namespace gsnake::data {

// A byte a token, or a Megatron pair (NAME.bin beside NAME.idx) of as many values: 1 where the loss counts the token as a label, 0
// where it does not. Safe from several threads at once.
class MaskFile {
 public:
  // Throws Error(input) when it has not as many values as `masked` has tokens.
  MaskFile(const std::string& path, const TokenFile& masked, Access access);

  [[nodiscard]] const InputFile& file() const noexcept { return file_; }
  // Of tokens first, first + 1, ... Throws Error(input), naming file and offset, for a value that is neither 0 nor 1.
  void read(std::int64_t first, std::span<std::uint8_t> counted) const;

 private:
  InputFile file_;
  std::int64_t value_bytes_ = 1;
};

}  // namespace gsnake::data
