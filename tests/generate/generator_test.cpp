// What is generated with kept keys and values is what whole texts give, wherever the model is and whatever else is generated; and it costs no more.
#include <gmock/gmock.h>

#include <algorithm>

#include "generate/generating.h"
#include "greedysnake/error.h"

namespace gsnake::test {
namespace {

class Families : public testing::TestWithParam<ModelFamily> {};

TEST_P(Families, GenerateWhatWholeTextsGiveWhereverWeightsLie) {
  const TempFolder folder;
  GeneratingRun run(small_config(small_family(GetParam()), 2, folder));
  const TokenLists prompts = three_prompts(run.config.model.vocab);
  std::optional<TokenLists> expected;
  for (const Budgets& budgets : all_budgets(run.config)) {
    SCOPED_TRACE(budgets.name);
    generate::TextGenerator generator(engine_of(run.config, budgets));
    const TokenLists found = tokens_of(generator.generate(prompts, greedy(20)));
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(found[i].size(), 20U);
      EXPECT_LE(run.reference->worst_gap(prompts[i], found[i]), kRounding) << "prompt " << i;
    }
    EXPECT_EQ(found, expected.value_or(found));
    expected = found;
    const std::uint64_t before = generator.counts().read_bytes;
    generator.generate(prompts, greedy(3));
    EXPECT_EQ(generator.counts().read_bytes > before, budgets.reads);
  }
}

TEST_P(Families, CutPromptsIntoPartsOfAPass) {
  const TempFolder folder;
  GeneratingRun run(small_config(small_family(GetParam()), 2, folder));
  const TokenLists prompts = three_prompts(run.config.model.vocab);
  std::unique_ptr<generate::Engine> engine = engine_of(run.config, all_budgets(run.config)[4]);
  engine->limit_parts(7);
  generate::TextGenerator generator(std::move(engine));
  const TokenLists found = tokens_of(generator.generate(prompts, greedy(20)));
  for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_LE(run.reference->worst_gap(prompts[i], found[i]), kRounding) << "prompt " << i;
  EXPECT_EQ(generator.counts().passes, 20);
}

INSTANTIATE_TEST_SUITE_P(All, Families, testing::Values(ModelFamily::gpt2, ModelFamily::llama, ModelFamily::mistral, ModelFamily::qwen2, ModelFamily::qwen3),
                         [](const auto& instance) { return std::string(word_of(instance.param)); });

TEST(Generator, ComputesEachTokenOnceAndReadsTheSameForEach) {
  const TempFolder folder;
  const GeneratingRun run(small_config(small_llama(), 2, folder));
  generate::TextGenerator generator(engine_of(run.config, on_the_drive(run.config)));
  std::vector<GenerationCounts> counts;
  GenerateOptions options = greedy(30);
  options.take = [&](std::size_t, std::int64_t) {
    counts.push_back(generator.counts());
    return true;
  };
  generator.generate({random_prompt(10, run.config.model.vocab, 5)}, options);
  ASSERT_EQ(counts.size(), 30U);
  EXPECT_EQ(counts[0].positions, 10);
  const std::uint64_t bytes = counts[1].read_bytes - counts[0].read_bytes;
  EXPECT_GT(bytes, 0U);
  for (std::size_t i = 1; i < counts.size(); ++i) {
    EXPECT_EQ(counts[i].positions - counts[i - 1].positions, 1);
    EXPECT_EQ(counts[i].passes - counts[i - 1].passes, 1);
    EXPECT_EQ(counts[i].read_bytes - counts[i - 1].read_bytes, bytes);
  }
}

TEST(Generator, ReadsWeightsOncePerPassForAllTexts) {
  const TempFolder folder;
  const GeneratingRun run(small_config(small_llama(), 2, folder));
  const auto bytes_of = [&](const TokenLists& prompts) {
    generate::TextGenerator generator(engine_of(run.config, on_the_drive(run.config)));
    GenerateOptions options = greedy(2);
    std::vector<std::uint64_t> bytes;
    options.take = [&](std::size_t, std::int64_t) {
      bytes.push_back(generator.counts().read_bytes);
      return true;
    };
    generator.generate(prompts, options);
    EXPECT_EQ(generator.counts().passes, 2);
    return bytes.back() - bytes.front();
  };
  const std::vector<std::int64_t> prompt = random_prompt(4, run.config.model.vocab, 5);
  EXPECT_EQ(bytes_of({prompt}), bytes_of({prompt, prompt, prompt}));
}

TEST(Generator, ATextDoesNotDependOnTheOthers) {
  const TempFolder folder;
  const GeneratingRun run(small_config(small_llama(), 2, folder));
  const TokenLists prompts = three_prompts(run.config.model.vocab);
  for (const double temperature : {0.0, 1.0}) {
    GenerateOptions options = greedy(20);
    options.sampling.temperature = temperature;
    generate::TextGenerator together(engine_of(run.config, {}));
    const TokenLists all = tokens_of(together.generate(prompts, options));
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      generate::TextGenerator alone(engine_of(run.config, {}));
      EXPECT_EQ(tokens_of(alone.generate({prompts[i]}, options))[0], all[i]);
    }
  }
}

TEST(Generator, GuessesChangeNothingButTheNumberOfPasses) {
  const TempFolder folder;
  const GeneratingRun run(small_config(small_llama(), 2, folder));
  std::vector<std::int64_t> repeating;
  for (int i = 0; i < 6; ++i) {
    for (const std::int64_t token : {5, 17, 300, 8}) repeating.push_back(token);
  }
  for (const double temperature : {0.0, 0.4}) {
    GenerateOptions options = greedy(30, true);
    options.sampling.temperature = temperature;
    generate::TextGenerator guessing(engine_of(run.config, {}));
    const auto guessed = tokens_of(guessing.generate({repeating}, options));
    options.drafts = false;
    generate::TextGenerator plain(engine_of(run.config, {}));
    EXPECT_EQ(tokens_of(plain.generate({repeating}, options)), guessed);
    EXPECT_EQ(plain.counts().passes, 30);
    EXPECT_EQ(guessing.counts().passes, 30 - guessing.counts().accepted);
    EXPECT_GT(guessing.counts().drafted, 0);
    EXPECT_TRUE(temperature > 0.0 || guessing.counts().accepted > 0) << "the little that it learned repeats itself";
  }
}

TEST(Generator, ATextLongerThanTheContextBeginsAnewWithItsLastHalf) {
  const TempFolder folder;
  GeneratingRun run(small_config(small_llama(), 2, folder));
  const std::vector<std::int64_t> prompt = random_prompt(50, run.config.model.vocab, 5);
  generate::TextGenerator generator(engine_of(run.config, {}));
  const std::vector<std::int64_t> added = tokens_of(generator.generate({prompt}, greedy(60)))[0];
  ASSERT_EQ(added.size(), 60U);
  std::vector<std::int64_t> all = prompt;
  all.insert(all.end(), added.begin(), added.end());
  // Tokens 64.. are drawn from texts that begin at 65 - 32, and again 32 further on.
  const auto gap = [&](std::size_t begin, std::size_t end, std::size_t until) {
    const auto at = [&](std::size_t i) { return all.begin() + static_cast<std::ptrdiff_t>(i); };
    return run.reference->worst_gap({at(begin), at(end)}, {at(end), at(until)});
  };
  EXPECT_LE(gap(0, 50, 65), kRounding);
  EXPECT_LE(gap(33, 65, 98), kRounding);
  EXPECT_LE(gap(66, 98, 110), kRounding);
  EXPECT_EQ(generator.counts().positions, 64 + 64 + 32 + 11);
}

TEST(Generator, RefusesTextsWhoseKeysAndValuesFindNoRoom) {
  const TempFolder folder;
  ModelConfig model = small_llama();
  model.context = 1 << 20;
  const GeneratingRun run(small_config(model, 2, folder));
  ModelOptions options;
  options.context = model.context;
  options.device_budget = 16 * kMiB;
  options.host_budget = 64 * kMiB;
  Generator generator(run.config.run.dir, options);
  GenerateOptions many = greedy(1 << 19);
  std::string message;
  try {
    generator.generate({{1, 2, 3}}, many);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::budget);
    message = error.what();
  }
  EXPECT_THAT(message, testing::HasSubstr("memory.host_budget"));
  EXPECT_THAT(message, testing::HasSubstr("keys and values"));
  EXPECT_THAT(message, testing::HasSubstr("1 text of up to 524291 tokens"));
  many.tokens = 4;
  EXPECT_EQ(generator.generate({{1, 2, 3}}, many)[0].tokens.size(), 4U) << "a shorter one is generated";
}

TEST(Generator, EndsAtStopTokensAndWhenItIsTold) {
  const TempFolder folder;
  const GeneratingRun run(small_config(small_llama(), 2, folder));
  Generator generator(run.config.run.dir);
  GenerateOptions options = greedy(8);
  options.sampling.temperature = 1.0;
  const GeneratedText whole = generator.generate({{1, 2, 3}}, options)[0];
  EXPECT_FALSE(whole.stopped);
  options.stop = {whole.tokens[4]};
  const GeneratedText stopped = generator.generate({{1, 2, 3}}, options)[0];
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(stopped.tokens.size(), static_cast<std::size_t>(std::find(whole.tokens.begin(), whole.tokens.end(), whole.tokens[4]) - whole.tokens.begin()));
  options.stop = {};
  options.take = [&](std::size_t, std::int64_t token) { return token != whole.tokens[2]; };
  EXPECT_TRUE(generator.generate({{1, 2, 3}}, options)[0].stopped);
}

}  // namespace
}  // namespace gsnake::test
