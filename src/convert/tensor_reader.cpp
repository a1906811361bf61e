#include "convert/tensor_reader.h"

#include <algorithm>
#include <cstring>

#include "optim/formats.h"

namespace gsnake::convert {
namespace {

constexpr std::uint64_t kAhead = 32ULL << 20;  // bytes that the kernel may have begun to read
constexpr std::uint64_t kPanelBytes = 16ULL << 20;
constexpr std::uint64_t kTile = 32;  // rows of the file that are turned at once

}  // namespace

TensorReader::TensorReader(const ParameterSource& source) : source_(source), element_bytes_(hf::size_of(source.dtype)) {
  if (!source.transposed || source.values) return;
  columns_ = source.source->tensor.shape[0];
  rows_ = source.source->tensor.shape[1];
}

TensorReader::~TensorReader() {
  if (source_.source != nullptr) source_.source->file->done_with(source_.source->tensor.offset, source_.source->tensor.bytes);
}

void TensorReader::read(std::uint64_t first, std::span<float> out) {
  if (source_.values) return source_.values->read(first, out);
  if (!source_.transposed) {
    look_ahead(first * element_bytes_, (first + out.size()) * element_bytes_);
    return widen(first, out);
  }
  for (std::uint64_t done = 0; done < out.size();) {
    const std::uint64_t at = first + done;
    if (panel_rows_ == 0 || at < panel_row_ * columns_ || at >= (panel_row_ + panel_rows_) * columns_) load_panel(at / columns_);
    const std::uint64_t in_panel = at - panel_row_ * columns_;
    const std::uint64_t count = std::min<std::uint64_t>(out.size() - done, panel_rows_ * columns_ - in_panel);
    std::memcpy(out.data() + done, panel_.data() + in_panel, count * sizeof(float));
    done += count;
  }
}

void TensorReader::copy(std::uint64_t first, std::span<std::byte> out) {
  const std::uint64_t begin = first * element_bytes_;
  look_ahead(begin, begin + out.size());
  std::memcpy(out.data(), source_.source->file->bytes().data() + source_.source->tensor.offset + begin, out.size());
}

void TensorReader::widen(std::uint64_t first, std::span<float> out) {
  const hf::Tensor& tensor = source_.source->tensor;
  const std::byte* from = source_.source->file->bytes().data() + tensor.offset + first * element_bytes_;
  if (source_.dtype == hf::Dtype::fp32) {
    std::memcpy(out.data(), from, out.size_bytes());
    return;
  }
  const auto format = source_.dtype == hf::Dtype::fp16 ? optim::WeightFormat::fp16 : optim::WeightFormat::bf16;
  if (reinterpret_cast<std::uintptr_t>(from) % alignof(std::uint16_t) == 0) {
    return optim::widen(format, {reinterpret_cast<const std::uint16_t*>(from), out.size()}, out);
  }
  std::vector<std::uint16_t> aligned(out.size());
  std::memcpy(aligned.data(), from, aligned.size() * sizeof(std::uint16_t));
  optim::widen(format, aligned, out);
}

// A panel's part of a row of the file lies together: tiles of such rows are turned at once.
void TensorReader::load_panel(std::uint64_t row) {
  panel_row_ = row;
  panel_rows_ = std::clamp<std::uint64_t>(kPanelBytes / sizeof(float) / columns_, 1, rows_ - row);
  panel_.resize(panel_rows_ * columns_);
  std::vector<float> tile(kTile * panel_rows_);
  const std::uint64_t row_bytes = rows_ * element_bytes_;
  dropped_ = asked_for_ = 0;
  for (std::uint64_t column = 0; column < columns_; column += kTile) {
    const std::uint64_t height = std::min(kTile, columns_ - column);
    look_ahead(column * row_bytes, (column + height) * row_bytes);
    for (std::uint64_t i = 0; i < height; ++i) widen((column + i) * rows_ + row, {tile.data() + i * panel_rows_, panel_rows_});
    for (std::uint64_t r = 0; r < panel_rows_; ++r) {
      float* to = panel_.data() + r * columns_ + column;
      for (std::uint64_t i = 0; i < height; ++i) to[i] = tile[i * panel_rows_ + r];
    }
  }
}

// Of the tensor's bytes [begin, end) is about to be read, and nothing before `begin` again.
void TensorReader::look_ahead(std::uint64_t begin, std::uint64_t end) {
  const hf::MappedFile& file = *source_.source->file;
  const std::uint64_t offset = source_.source->tensor.offset;
  if (end + kAhead / 2 > asked_for_) {
    // Beyond the tensor's end as well: what follows is most likely the next one.
    const std::uint64_t from = std::max(asked_for_, begin);
    file.will_need(offset + from, end + kAhead - from);
    asked_for_ = end + kAhead;
  }
  if (begin >= dropped_ + kAhead) {
    file.done_with(offset + dropped_, begin - dropped_);
    dropped_ = begin;
  }
}

}  // namespace gsnake::convert
