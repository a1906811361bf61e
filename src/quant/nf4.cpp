#include "quant/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/bits.h"
#include "quant/codes.h"
#include "quant/kernels.h"

namespace gsnake::quant {
namespace {

// bitsandbytes' CPU path finds the nearest value of the map by a table of 65536 points of [-1, 1]; so do we, without the table.
constexpr std::int32_t kPoints = 65536;

constexpr std::array<float, 255> map_bounds() {
  std::array<float, 255> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = 0.5F * (kDynamicMap[i] + kDynamicMap[i + 1]);
  return bounds;
}
constexpr std::array<float, 255> kMapBounds = map_bounds();

// `value`: in [-1, 1], or a NaN (a zero divided by a denormal's infinite reciprocal), which counts as -1.
std::uint8_t map_code(float value) {
  if (std::isnan(value)) return 0;
  const float clamped = std::clamp(value, -1.0F, 1.0F);
  const auto point = static_cast<std::int32_t>(std::fma((clamped + 1.0F) * 0.5F, static_cast<float>(kPoints - 1), 0.5F));
  const float at_point = static_cast<float>(2 * point) / static_cast<float>(kPoints - 1) - 1.0F;
  return static_cast<std::uint8_t>(std::ranges::lower_bound(kMapBounds, at_point) - kMapBounds.begin());
}

}  // namespace

float mean_of(std::span<const float> absmax) {
  double sum = 0.0;
  for (const float value : absmax) sum += value;
  return static_cast<float>(sum / static_cast<double>(absmax.size()));
}

float quantise_absmax(std::span<const float> absmax, float offset, std::uint8_t* codes) {
  float greatest = 0.0F;
  for (const float value : absmax) greatest = std::max(greatest, std::fabs(value - offset));
  const float reciprocal = 1.0F / greatest;
  for (std::size_t i = 0; i < absmax.size(); ++i) codes[i] = greatest == 0.0F ? 0 : map_code((absmax[i] - offset) * reciprocal);
  return greatest;
}

void nf4_scales(const std::byte* codes, const std::byte* second, std::uint64_t first, std::span<float> out) {
  const auto offset = load<float>(second);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t block = first + i;
    const float product = kDynamicMap[static_cast<std::uint8_t>(codes[block])] * load<float>(second, 1 + block / kSecondBlock);
    out[i] = product + offset;
  }
}

float pack_nf4_rest(std::span<const float> values, std::byte* codes) {
  float absmax = kLeastAbsmax;
  for (const float value : values) absmax = std::max(absmax, std::fabs(value));
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const std::uint8_t first = code_by(kNf4Bounds, values[i] / absmax);
    const std::uint8_t second = i + 1 < values.size() ? code_by(kNf4Bounds, values[i + 1] / absmax) : kNf4Zero;
    codes[i / 2] = static_cast<std::byte>(first << 4 | second);
  }
  return absmax;
}

}  // namespace gsnake::quant
