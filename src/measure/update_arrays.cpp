#include "measure/update_arrays.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace gsnake::measure {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20U;

}  // namespace

UpdateBytes update_bytes(const optim::Optimizer& optimizer) {
  const optim::WeightFormat format = optimizer.weight_format();
  const std::uint64_t kept = optim::weight_bytes(format) + optim::master_bytes(format);
  UpdateBytes bytes;
  for (const std::uint64_t state : optimizer.state_bytes()) bytes.written += state;
  bytes.read = bytes.written + sizeof(float) + (format == optim::WeightFormat::fp16 ? optim::master_bytes(format) : kept);
  bytes.written += kept;
  return bytes;
}

HugeArray::HugeArray(std::size_t bytes) {
  if (bytes == 0) return;
  const std::size_t padded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  data_.reset(static_cast<std::byte*>(::operator new (padded, std::align_val_t{kHugePage})));
  static_cast<void>(::madvise(data_.get(), padded, MADV_HUGEPAGE));  // advice: without it all is slower and still right
}

void HugeArray::Free::operator()(std::byte* data) const { ::operator delete (data, std::align_val_t{kHugePage}); }

UpdateArrays::UpdateArrays(const optim::Optimizer& optimizer, std::uint64_t elements)
    : elements_(elements),
      format_(optimizer.weight_format()),
      states_(optimizer.state_bytes()),
      weight_(elements * optim::weight_bytes(format_)),
      master_(elements * optim::master_bytes(format_)),
      state0_(elements * states_[0]),
      state1_(states_.size() > 1 ? elements * states_[1] : 0),
      gradient_(elements * sizeof(float)),
      partials_(elements / optim::kNormBlock) {}

optim::UpdateChunk UpdateArrays::chunk(std::uint64_t begin, std::uint64_t end, bool norm) const {
  optim::UpdateChunk chunk;
  chunk.weight = weight_.data() + begin * optim::weight_bytes(format_);
  if (master_.data() != nullptr) chunk.master = master_.data() + begin * optim::master_bytes(format_);
  chunk.states[0] = state0_.data() + begin * states_[0];
  if (states_.size() > 1) chunk.states[1] = state1_.data() + begin * states_[1];
  chunk.gradient = reinterpret_cast<const float*>(gradient_.data()) + begin;
  chunk.elements = end - begin;
  chunk.first_element = begin;
  if (norm) chunk.partials = partials_.data() + begin / optim::kNormBlock;
  return chunk;
}

void UpdateArrays::fill(std::uint64_t begin, std::uint64_t end) {
  const optim::UpdateChunk own = chunk(begin, end, false);
  const auto clear = [&](std::byte* data, std::uint64_t bytes) {
    std::fill_n(data, data == nullptr ? 0 : bytes * own.elements, std::byte{0});
  };
  clear(own.weight, optim::weight_bytes(format_));
  clear(own.master, optim::master_bytes(format_));
  for (std::size_t i = 0; i < states_.size(); ++i) clear(own.states[i], states_[i]);
  auto* gradient = reinterpret_cast<float*>(gradient_.data());
  for (std::uint64_t i = begin; i < end; ++i) gradient[i] = 1e-3F * (1.0F + static_cast<float>(i % 1021) / 1021.0F);
}

}  // namespace gsnake::measure
