// config.json of the fixtures, and what is said of one.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "greedysnake/error.h"
#include "hf/model_config.h"
#include "hf/temp_folder.h"

namespace gsnake::test {

inline hf::Json fixture(const std::string& family) {
  return hf::Json::parse(read_file(std::string(GSNAKE_FIXTURES) + "/" + family + "/config.json"));
}

inline ModelConfig parse(const hf::Json& json) { return hf::parse_model_config("config.json", json.dump()); }

// One line, of an Error(input); "accepted" where there is none.
inline std::string refusal(const hf::Json& json) {
  try {
    parse(json);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
    return error.what();
  }
  return "accepted";
}

}  // namespace gsnake::test
