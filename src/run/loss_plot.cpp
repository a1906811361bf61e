#include "run/loss_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

namespace gsnake::run {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr int kDotsAcross = 2;
constexpr int kDotsDown = 4;
// Of the dot at (x, y) in a character, as Unicode numbers them: U+2800 + the sum of the bits.
constexpr std::array<std::array<int, kDotsDown>, kDotsAcross> kDotBits{{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}};
constexpr const char* kMark = "◆";

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // 0..steps-1; all in the middle when there is but one value.
  [[nodiscard]] int place(double value, int steps) const {
    if (high <= low) return steps / 2;
    return static_cast<int>(std::lround((value - low) / (high - low) * (steps - 1)));
  }
};

Points finite(const Points& points) {
  Points kept;
  std::copy_if(points.begin(), points.end(), std::back_inserter(kept), [](const auto& point) { return std::isfinite(point.second); });
  return kept;
}

class Canvas {
 public:
  Canvas(const PlotSize& size, const Range& x, const Range& y)
      : size_(size), x_(x), y_(y), dots_(static_cast<std::size_t>(size.columns * size.rows)), marked_(dots_.size()) {}

  // Means by dot column, joined by straight lines so that few points make a curve too.
  void draw(const Points& points) {
    const int width = size_.columns * kDotsAcross;
    std::vector<double> sums(static_cast<std::size_t>(width));
    std::vector<int> counts(sums.size());
    for (const auto& [x, y] : points) {
      const auto column = static_cast<std::size_t>(x_.place(x, width));
      sums[column] += y;
      ++counts[column];
    }
    std::optional<std::pair<int, int>> last;
    for (int column = 0; column < width; ++column) {
      const auto i = static_cast<std::size_t>(column);
      if (counts[i] == 0) continue;
      const std::pair here(column, row_of(sums[i] / counts[i]));
      join(last.value_or(here), here);
      last = here;
    }
  }

  void mark(const Points& points) {
    for (const auto& [x, y] : points) {
      marked_[cell(x_.place(x, size_.columns * kDotsAcross), row_of(y))] = true;
    }
  }

  [[nodiscard]] std::string line(int row) const {
    std::string text;
    for (int column = 0; column < size_.columns; ++column) {
      const auto i = static_cast<std::size_t>(row * size_.columns + column);
      if (marked_[i]) {
        text += kMark;
      } else {
        const std::array<int, 3> utf8{0xe2, 0xa0 | dots_[i] >> 6, 0x80 | (dots_[i] & 0x3f)};
        for (const int byte : utf8) text += static_cast<char>(byte);
      }
    }
    return text;
  }

 private:
  // In dots from the top.
  [[nodiscard]] int row_of(double y) const {
    const int height = size_.rows * kDotsDown;
    return height - 1 - y_.place(y, height);
  }
  [[nodiscard]] std::size_t cell(int x, int y) const { return static_cast<std::size_t>(y / kDotsDown * size_.columns + x / kDotsAcross); }
  void dot(int x, int y) {
    dots_[cell(x, y)] |= kDotBits[static_cast<std::size_t>(x % kDotsAcross)][static_cast<std::size_t>(y % kDotsDown)];
  }

  void join(std::pair<int, int> from, std::pair<int, int> to) {
    const int steps = std::max({std::abs(to.first - from.first), std::abs(to.second - from.second), 1});
    for (int i = 0; i <= steps; ++i) {
      dot(from.first + (to.first - from.first) * i / steps, from.second + (to.second - from.second) * i / steps);
    }
  }

  PlotSize size_;
  Range x_;
  Range y_;
  std::vector<int> dots_;  // bits of a Braille pattern, by character
  std::vector<bool> marked_;
};

}  // namespace

std::string draw_plot(const Points& curve, const Points& marks, const PlotSize& size) {
  const Points line = finite(curve);
  const Points diamonds = finite(marks);
  Range x;
  Range y;
  for (const Points* points : {&line, &diamonds}) {
    for (const auto& point : *points) {
      x.include(point.first);
      y.include(point.second);
    }
  }
  if (line.empty() && diamonds.empty()) return {};
  Canvas canvas(size, x, y);
  canvas.draw(line);
  canvas.mark(diamonds);
  std::string text;
  for (int row = 0; row < size.rows; ++row) {
    const double value = y.high - (y.high - y.low) * row / std::max(size.rows - 1, 1);
    const bool labelled = row == 0 || row == size.rows / 2 || row == size.rows - 1;
    text += fmt::format("{:>8} ┤{}\n", labelled ? fmt::format("{:.3f}", value) : "", canvas.line(row));
  }
  const std::string first = fmt::format("{:g}", x.low);
  return text + fmt::format("{:>8}  {}{:>{}}\n", "", first, fmt::format("{:g}", x.high), size.columns - static_cast<int>(first.size()));
}

}  // namespace gsnake::run
