#include "convert/unit_adapters.h"

#include <algorithm>

#include "model/adapters.h"
#include "model/linear.h"

namespace gsnake::convert {

UnitAdapters::UnitAdapters(const optim::FlatLayout& flat, std::vector<float> values, double scaling)
    : flat_(flat), values_(std::move(values)), scaling_(scaling) {}

const optim::FlatParameter* UnitAdapters::find(const std::string& parameter, const char* part) const {
  const std::string name = model::module_of(parameter) + "." + part;
  const auto found = std::find_if(flat_.parameters.begin(), flat_.parameters.end(), [&](const optim::FlatParameter& each) { return each.info.name == name; });
  return found == flat_.parameters.end() ? nullptr : &*found;
}

bool UnitAdapters::has(const std::string& parameter) const { return parameter.ends_with(".weight") && find(parameter, model::kAdapterB) != nullptr; }

void UnitAdapters::merge(const std::string& parameter, std::uint64_t columns, std::uint64_t first, std::span<float> values) const {
  if (!has(parameter)) return;
  const torch::NoGradGuard no_grad;
  const auto view = [&](const optim::FlatParameter& each) {
    return torch::from_blob(const_cast<float*>(values_.data()) + each.offset, each.info.sizes);  // NOLINT: it is only read
  };
  const auto count = static_cast<std::int64_t>(values.size() / columns);
  const torch::Tensor rows = torch::from_blob(values.data(), {count, static_cast<std::int64_t>(columns)});
  const torch::Tensor b = view(*find(parameter, model::kAdapterB)).narrow(0, static_cast<std::int64_t>(first), count);
  rows.addmm_(b, view(*find(parameter, model::kAdapterA)), 1.0, scaling_);
  const optim::FlatParameter* magnitude = find(parameter, model::kAdapterMagnitude);
  if (magnitude == nullptr) return;
  const torch::Tensor factor = view(*magnitude).narrow(0, static_cast<std::int64_t>(first), count) / model::row_lengths(rows);
  rows.mul_(factor.unsqueeze(1));
}

}  // namespace gsnake::convert
