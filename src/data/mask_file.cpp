#include "data/mask_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "data/array_file.h"
#include "data/megatron.h"

namespace gsnake::data {

MaskFile::MaskFile(const std::string& path, const TokenFile& masked, Access access) : file_(path, access) {
  if (const auto index_path = path.ends_with(".bin") ? megatron_index_of(path) : std::nullopt) {
    value_bytes_ = MegatronIndex(*index_path, path, file_.size()).token_bytes();
  }
  const auto values = file_.size() / value_bytes_;
  if (values != masked.tokens() || file_.size() % value_bytes_ != 0) {
    refuse(path, fmt::format("offset {}: as a mask it ends after {} values of {} B, but {} has {} tokens; make it of that file",
                             file_.size(), values, value_bytes_, masked.path(), masked.tokens()));
  }
}

void MaskFile::read(std::int64_t first, std::span<std::uint8_t> counted) const {
  std::array<std::uint8_t, 8192> raw;
  const auto width = static_cast<std::size_t>(value_bytes_);
  while (!counted.empty()) {
    const auto part = counted.first(std::min(counted.size(), raw.size() / width));
    const std::span bytes(raw.data(), part.size() * width);
    file_.read(first * value_bytes_, bytes);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto value = little_endian(bytes.subspan(i * width, width), true);
      if (value != 0 && value != 1) {
        refuse(file_.path(), fmt::format("value {} at offset {} is no mask, which holds 1 where the loss counts a token and 0 elsewhere",
                                         value, (first + static_cast<std::int64_t>(i)) * value_bytes_));
      }
      part[i] = static_cast<std::uint8_t>(value);
    }
    first += static_cast<std::int64_t>(part.size());
    counted = counted.subspan(part.size());
  }
}

}  // namespace gsnake::data
