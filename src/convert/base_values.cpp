#include "convert/base_values.h"

#include <fmt/format.h>

#include "greedysnake/error.h"
#include "plan/base_layout.h"

namespace gsnake::convert {
namespace {

const base::BaseTensor& tensor_of(const base::Base& base, int unit, const std::string& parameter) {
  const base::BaseTensor* tensor = plan::find_tensor(base.manifest(), unit, parameter);
  if (tensor == nullptr) throw Error(ErrorKind::usage, fmt::format("adapter.base: its unit {} has no parameter {}; name the base of the model that the config describes", unit, parameter));
  return *tensor;
}

}  // namespace

BaseValues::BaseValues(const base::Base& base, int unit, std::string parameter)
    : base_(base), unit_(unit), parameter_(std::move(parameter)), tensor_(tensor_of(base, unit, parameter_)), format_(quant::format_of(tensor_.format).value()) {
  for (const std::int64_t size : tensor_.sizes) elements_ *= static_cast<std::uint64_t>(size);
}

void BaseValues::read(std::uint64_t first, std::span<float> out) {
  if (format_ == quant::Format::fp32) return base_.read(unit_, tensor_.offset + first * sizeof(float), std::as_writable_bytes(out));
  if (format_ == quant::Format::bf16) {
    constexpr std::uint64_t kWidth = 2;
    bytes_.resize(out.size() * kWidth);
    base_.read(unit_, tensor_.offset + first * kWidth, bytes_);
    return quant::dequantise(format_, bytes_.data(), out.size(), 0, out);
  }
  if (bytes_.empty()) {
    bytes_.resize(tensor_.bytes);
    base_.read(unit_, tensor_.offset, bytes_);
  }
  quant::dequantise(format_, bytes_.data(), elements_, first, out);
}

}  // namespace gsnake::convert
