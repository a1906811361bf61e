// A base's parameters as fp32 elements.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/base.h"
#include "convert/import_plan.h"

namespace gsnake::convert {

// Of one parameter of a unit. Holds its packed bytes as a whole, but of fp32 and bf16 only what is asked for. Borrows the base.
class BaseValues final : public ValueSource {
 public:
  // Throws Error(usage) where the base has no such parameter.
  BaseValues(const base::Base& base, int unit, std::string parameter);
  void read(std::uint64_t first, std::span<float> out) override;
  [[nodiscard]] std::string name() const override { return parameter_ + " of the base"; }

 private:
  const base::Base& base_;
  const int unit_;
  const std::string parameter_;
  const base::BaseTensor& tensor_;
  quant::Format format_;
  std::uint64_t elements_ = 1;
  std::vector<std::byte> bytes_;
};

}  // namespace gsnake::convert
