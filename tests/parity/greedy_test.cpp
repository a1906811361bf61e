// What is generated from a folder is what transformers generates with its cache.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "parity/imported_run.h"

namespace gsnake::test {
namespace {

class Greedy : public testing::TestWithParam<const char*> {};

TEST_P(Greedy, TokensAreThoseOfTransformers) {
  const nlohmann::json expected = nlohmann::json::parse(read_file(fixture(GetParam()) + "/greedy.json"));
  const auto tokens = expected["tokens"].get<std::vector<std::int64_t>>();
  Generator generator = Generator::of_folder(fixture(GetParam()));
  for (const bool drafts : {false, true}) {
    GenerateOptions options;
    options.sampling.temperature = 0.0;
    options.tokens = static_cast<std::int64_t>(tokens.size());
    options.drafts = drafts;
    EXPECT_EQ(generator.generate({expected["prompt"].get<std::vector<std::int64_t>>()}, options)[0].tokens, tokens);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Greedy, testing::ValuesIn(kFamilies), [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace gsnake::test
