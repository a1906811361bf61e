#include "optim/norm.h"

#include <cmath>

namespace gsnake::optim {

double total_norm(std::span<const double> partials) {
  double sum = 0.0;
  for (const double partial : partials) sum += partial;
  return std::sqrt(sum);
}

}  // namespace gsnake::optim
