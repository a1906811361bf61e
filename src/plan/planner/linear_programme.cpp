#include "plan/planner/linear_programme.h"

#include <Clp_C_Interface.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace gsnake::plan {
namespace {

struct DeleteModel {
  void operator()(Clp_Simplex* model) const { Clp_deleteModel(model); }
};

struct Columns {
  std::vector<CoinBigIndex> starts{0};
  std::vector<int> rows;
  std::vector<double> factors;
};

}  // namespace

int LinearProgramme::add_variable(double least, double most, double cost) {
  variables_.push_back({least, most});
  costs_.push_back(cost);
  return static_cast<int>(variables_.size()) - 1;
}

void LinearProgramme::add_row(std::vector<std::pair<int, double>> factors, double least, double most) {
  double largest = 0.0;
  for (const auto& [variable, factor] : factors) largest = std::max(largest, std::abs(factor));
  if (largest == 0.0)
    largest = std::max({1.0, std::abs(least) < kNoLimit ? std::abs(least) : 0.0, std::abs(most) < kNoLimit ? std::abs(most) : 0.0});
  for (auto& [variable, factor] : factors) factor /= largest;
  rows_.push_back(std::move(factors));
  row_bounds_.push_back({least <= -kNoLimit ? least : least / largest, most >= kNoLimit ? most : most / largest});
}

std::optional<std::vector<double>> LinearProgramme::minimise() const {
  std::vector<std::vector<std::pair<int, double>>> by_variable(variables_.size());
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    for (const auto& [variable, factor] : rows_[row]) {
      if (factor != 0.0) by_variable[static_cast<std::size_t>(variable)].emplace_back(static_cast<int>(row), factor);
    }
  }
  Columns columns;
  for (const auto& entries : by_variable) {
    for (const auto& [row, factor] : entries) {
      columns.rows.push_back(row);
      columns.factors.push_back(factor);
    }
    columns.starts.push_back(static_cast<CoinBigIndex>(columns.rows.size()));
  }
  const auto split = [](const std::vector<Bounds>& bounds, double Bounds::*end) {
    std::vector<double> values;
    for (const Bounds& each : bounds) values.push_back(each.*end);
    return values;
  };
  const std::unique_ptr<Clp_Simplex, DeleteModel> model(Clp_newModel());
  Clp_setLogLevel(model.get(), 0);
  Clp_loadProblem(model.get(), static_cast<int>(variables_.size()), static_cast<int>(rows_.size()), columns.starts.data(),
                  columns.rows.data(), columns.factors.data(), split(variables_, &Bounds::least).data(),
                  split(variables_, &Bounds::most).data(), costs_.data(), split(row_bounds_, &Bounds::least).data(),
                  split(row_bounds_, &Bounds::most).data());
  constexpr int kOptimal = 0;
  Clp_dual(model.get(), 0);
  if (Clp_status(model.get()) != kOptimal) return std::nullopt;
  const double* solution = Clp_primalColumnSolution(model.get());
  return std::vector<double>(solution, solution + variables_.size());
}

}  // namespace gsnake::plan
