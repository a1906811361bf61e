// What the config's tests share.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "greedysnake/error.h"

namespace gsnake::test {

// The least that a valid config of this build says; `more` is put behind it.
inline std::string minimal(const std::string& more = "") { return "data.train = [\"corpus.txt\"]\ntrain.dtype = \"fp32\"\n" + more; }

inline Config parsed(const std::string& more, const std::vector<std::string>& overrides = {}) {
  return Config::parse(minimal(more), ".", overrides);
}

// The message with which the config is refused; fails the test when it isn't, or not as a usage error of one line.
inline std::string refusal(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  try {
    static_cast<void>(Config::parse(toml, ".", overrides));
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.kind(), ErrorKind::usage) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }
  ADD_FAILURE() << "not refused:\n" << toml;
  return {};
}

}  // namespace gsnake::test
