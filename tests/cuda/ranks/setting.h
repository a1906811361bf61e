// What a test tells a rank's process, and the mutations that both know by number.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>

#include "cuda/train/mutant_device.h"

namespace gsnake::test {

struct RankSetting {
  std::string device = "cpu";  // memory.device
  std::string folder;          // of the run
  int layout = 0;              // of kLayouts
  std::uint64_t seed = 0;      // of the streams' delays; 0: never late
  std::size_t mutation = 0;    // of kMutations
  std::int64_t steps = 3;
};

inline std::string written(const RankSetting& setting) {
  std::ostringstream text;
  text << setting.device << ' ' << setting.folder << ' ' << setting.layout << ' ' << setting.seed << ' ' << setting.mutation << ' ' << setting.steps;
  return text.str();
}
inline RankSetting read_setting(const std::string& text) {
  RankSetting setting;
  std::istringstream(text) >> setting.device >> setting.folder >> setting.layout >> setting.seed >> setting.mutation >> setting.steps;
  return setting;
}

inline constexpr int kLayouts = 3;

inline constexpr Mutation::Dropped kNone{};
inline constexpr Mutation::Dropped kOfCollective{false, false, false, true};
inline constexpr Mutation::Dropped kOfCopies{false, true, true, false};
inline constexpr Mutation::Dropped kOfCompute{true, false, false, false};

// By StreamKind: compute, h2d, d2h, collective.
inline constexpr std::array kMutations{
    Mutation{},
    Mutation{"parts are gathered before they are there", {kNone, kNone, kNone, kOfCopies}},
    Mutation{"gradients are added up before they are there", {kNone, kNone, kNone, kOfCompute}},
    Mutation{"compute does not wait for gathered weights", {kOfCollective, kNone, kNone, kNone}},
    Mutation{"sums leave before they are there", {kNone, kNone, kOfCollective, kNone}},
    Mutation{"a part's slot is filled while it is gathered", {kNone, kOfCollective, kNone, kNone}},
};

}  // namespace gsnake::test
