// Minimises a linear cost under linear constraints, by COIN-OR Clp.
#pragma once

#include <optional>
#include <utility>
#include <vector>

namespace gsnake::plan {

class LinearProgramme {
 public:
  static constexpr double kNoLimit = 1e30;

  // Returns its number.
  int add_variable(double least, double most, double cost);
  // least <= sum of factor x variable <= most. Rows are scaled before they are solved: factors may be of any size.
  void add_row(std::vector<std::pair<int, double>> factors, double least, double most);
  // The variables' values; nothing where no values satisfy all rows.
  [[nodiscard]] std::optional<std::vector<double>> minimise() const;

 private:
  struct Bounds {
    double least = 0.0;
    double most = 0.0;
  };
  std::vector<Bounds> variables_;
  std::vector<double> costs_;
  std::vector<std::vector<std::pair<int, double>>> rows_;
  std::vector<Bounds> row_bounds_;
};

}  // namespace gsnake::plan
