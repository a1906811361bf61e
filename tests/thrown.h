// What a call must throw.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "greedysnake/error.h"

namespace gsnake::test {

// The message, one line, of the Error of that kind that `work` must throw.
inline std::string message_of(ErrorKind kind, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace gsnake::test
