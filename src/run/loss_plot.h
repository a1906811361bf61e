// Curves in a terminal, drawn with Braille patterns: two dots across and four down in each character.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gsnake::run {

struct PlotSize {
  int columns = 64;  // of characters, without the scale at the left
  int rows = 12;
};

// (x, y) in rising order of x. `curve` is a line, each dot the mean of the values that fall into it; `marks` are single diamonds on top.
// Values that are not finite are left out. Empty when nothing is left to draw. Lines end with a newline.
std::string draw_plot(const std::vector<std::pair<double, double>>& curve, const std::vector<std::pair<double, double>>& marks,
                      const PlotSize& size = {});

}  // namespace gsnake::run
