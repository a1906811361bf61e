#include "optim/norm.h"

#include <cmath>

#include "optim/kernels.h"

namespace gsnake::optim {

void square_sums(std::span<const float> gradient, std::span<double> partials, Target target) {
  check_sizes(gradient.size() == partials.size() * kNormBlock, "square_sums");
  const Kernels& kernels = kernels_for(target);
  for (std::size_t block = 0; block < partials.size(); ++block) {
    SumLanes lanes{};
    kernels.add_squares(gradient.data() + block * kNormBlock, kNormBlock, lanes);
    partials[block] = fold_lanes(lanes);
  }
}

double total_norm(std::span<const double> partials) {
  double sum = 0.0;
  for (const double partial : partials) sum += partial;
  return std::sqrt(sum);
}

void add_in_place(std::span<float> destination, std::span<const float> source, Target target) {
  check_sizes(destination.size() == source.size(), "add_in_place");
  kernels_for(target).add_in_place(destination.data(), source.data(), destination.size());
}

}  // namespace gsnake::optim
