// Perplexities and choices are those of the model's own losses, row by row, however rows are put together; what is wrong with a row is said with its line.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "generate/evaluation_rows.h"
#include "generate/generating.h"
#include "generate/scorer.h"
#include "temporary_folder.h"
#include "thrown.h"

namespace gsnake::test {
namespace {

using generate::Window;
using generate::windows_of;

// A byte is a token.
std::vector<std::int64_t> encode(const std::string& text) {
  std::vector<std::int64_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

double expected_sum(WholePrefix& reference, const std::vector<std::int64_t>& tokens, std::size_t first) {
  const torch::Tensor losses = torch::log_softmax(reference.logits(tokens).to(torch::kFloat64), -1);
  double sum = 0.0;
  for (std::size_t i = first; i < tokens.size(); ++i) sum += losses[static_cast<std::int64_t>(i) - 1][tokens[i]].item<double>();
  return sum;
}

TEST(Windows, ScoreEachTokenOnceWithAsMuchBeforeItAsThereIs) {
  const auto of = [](std::size_t tokens, std::size_t first, std::int64_t stride) {
    std::vector<std::array<std::size_t, 3>> found;
    for (const Window& window : windows_of({std::vector<std::int64_t>(tokens), first}, 0, 8, stride)) found.push_back({window.begin, window.end, window.first});
    return found;
  };
  using Found = std::vector<std::array<std::size_t, 3>>;
  EXPECT_EQ(of(1, 1, 4), Found()) << "nothing is before the first token";
  EXPECT_EQ(of(5, 1, 4), (Found{{0, 4, 1}}));
  EXPECT_EQ(of(9, 1, 4), (Found{{0, 8, 1}}));
  EXPECT_EQ(of(10, 1, 4), (Found{{0, 8, 1}, {4, 9, 9}}));
  EXPECT_EQ(of(20, 1, 4), (Found{{0, 8, 1}, {4, 12, 9}, {8, 16, 13}, {12, 19, 17}}));
  EXPECT_EQ(of(20, 1, 8), (Found{{0, 8, 1}, {8, 16, 9}, {16, 19, 17}}));
  EXPECT_EQ(of(20, 17, 4), (Found{{11, 19, 17}})) << "a choice behind a long question: the last tokens";
}

TEST(Evaluate, LogLikelihoodsAreTheModelsWhateverIsComputedBesideThem) {
  for (const ModelFamily family : {ModelFamily::gpt2, ModelFamily::mistral}) {
    const TempFolder folder;
    GeneratingRun run(small_config(small_family(family), 2, folder));
    std::vector<ScoredTokens> texts;
    for (unsigned i = 0; i < 7; ++i) texts.push_back({random_prompt(5 + 6 * i, run.config.model.vocab, i), i % 2 == 0 ? 1U : 4U});
    ModelOptions wide;
    wide.context = kContext;
    Evaluator evaluator(run.config.run.dir, wide);
    EvaluateOptions options;
    const std::vector<double> sums = evaluator.log_likelihoods(texts, options);
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_NEAR(sums[i], expected_sum(*run.reference, texts[i].tokens, texts[i].first), 1e-3) << "text " << i;
    options.pass_tokens = 1;  // one a pass
    EXPECT_EQ(evaluator.log_likelihoods(texts, options), sums);
    const Budgets drive = on_the_drive(run.config);
    wide.device_budget = drive.device + kMiB;
    wide.host_budget = drive.host;
    Evaluator reading(run.config.run.dir, wide);
    EXPECT_EQ(reading.log_likelihoods(texts, options), sums);
  }
}

TEST(Evaluate, APerplexityWeighsTokensAlikeAndALongTextGoesInWindows) {
  const TempFolder folder;
  GeneratingRun run(small_config(small_llama(), 2, folder));
  const TemporaryFolder rows;
  const std::string long_text = "a text that is far longer than the sixteen tokens of the run's own context";
  std::ofstream(rows / "rows.jsonl") << "{\"text\": \"short one\"}\n\n{\"text\": \"x\"}\n{\"text\": \"" << long_text << "\", \"id\": 4}\n";
  Evaluator evaluator(run.config.run.dir);
  ASSERT_EQ(evaluator.context(), kTokens);
  EvaluateOptions options;
  options.stride = 8;
  std::vector<std::size_t> done;
  options.pass_tokens = 20;
  options.progress = [&](std::size_t rows_done, std::size_t all) {
    EXPECT_EQ(all, 3U);
    done.push_back(rows_done);
  };
  const EvaluationReport report = evaluator.evaluate(rows / "rows.jsonl", encode, options);
  double sum = expected_sum(*run.reference, encode("short one"), 1);
  const std::vector<std::int64_t> ids = encode(long_text);
  for (std::size_t begin = 0, first = 1; first < ids.size(); begin += 8) {
    const std::size_t end = std::min(begin + kTokens, ids.size() - 1);
    sum += expected_sum(*run.reference, {ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(end) + 1}, first - begin);
    first = end + 1;
  }
  const auto tokens = static_cast<std::int64_t>(8 + long_text.size() - 1);
  EXPECT_EQ(report.texts.rows, 3U);
  EXPECT_EQ(report.texts.tokens, tokens);
  EXPECT_NEAR(report.texts.negative_log_likelihood, -sum / static_cast<double>(tokens), 1e-5);
  EXPECT_NEAR(report.texts.perplexity, std::exp(report.texts.negative_log_likelihood), 1e-6);
  EXPECT_EQ(report.choices.rows, 0U);
  EXPECT_GT(report.passes, 1);
  EXPECT_EQ(done.back(), 3U);
}

TEST(Evaluate, ChoicesAreTheLikeliestAsTheyAreAndByTheirLength) {
  const TempFolder folder;
  GeneratingRun run(small_config(small_llama(), 2, folder));
  const std::vector<std::string> choices{"no", "a much longer answer", "\xC3\xA9t\xC3\xA9"};
  const std::vector<double> characters{2, 20, 3};
  std::vector<double> sums;
  for (const std::string& choice : choices) sums.push_back(expected_sum(*run.reference, encode("Is it? " + choice), 6));
  const auto best = [](const std::vector<double>& values) { return std::max_element(values.begin(), values.end()) - values.begin(); };
  std::vector<double> normalised;
  for (std::size_t i = 0; i < 3; ++i) normalised.push_back(sums[i] / characters[i]);
  ASSERT_NE(best(sums), best(normalised)) << "else this shows little";
  const TemporaryFolder rows;
  std::ofstream file(rows / "rows.jsonl");
  for (const char* key : {"question", "prompt", "context"}) {
    file << nlohmann::json{{key, "Is it?"}, {"choices", choices}, {"answer", best(sums)}}.dump() << "\n";
  }
  file << nlohmann::json{{"question", "Is it?"}, {"choices", choices}, {"answer", best(normalised)}}.dump() << "\n";
  file.close();
  ModelOptions wide;
  wide.context = kContext;
  EvaluateOptions options;
  options.pass_tokens = 1;  // a choice a pass
  std::vector<std::size_t> done;
  options.progress = [&](std::size_t rows_done, std::size_t all) {
    EXPECT_EQ(all, 4U);
    done.push_back(rows_done);
  };
  const EvaluationReport report = Evaluator(run.config.run.dir, wide).evaluate(rows / "rows.jsonl", encode, options);
  EXPECT_EQ(done, (std::vector<std::size_t>{0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4}));
  EXPECT_EQ(report.choices.rows, 4U);
  EXPECT_DOUBLE_EQ(report.choices.accuracy, 0.75);
  EXPECT_DOUBLE_EQ(report.choices.normalised_accuracy, 0.25);
  EXPECT_NEAR(report.choices.accuracy_error, 0.25, 1e-9);
  EXPECT_EQ(report.texts.rows, 0U);
}

TEST(EvaluationRows, WhiteSpaceBetweenQuestionAndChoiceIsTheChoices) {
  const TemporaryFolder folder;
  const auto choices_of = [&](const std::string& question, const std::string& choice, const generate::Encode& encoded) {
    std::ofstream(folder / "rows.jsonl") << nlohmann::json{{"question", question}, {"choices", std::vector<std::string>{choice, "other"}}, {"answer", 0}}.dump() << "\n";
    return generate::read_evaluation(folder / "rows.jsonl", encoded, 256).choices.at(0);
  };
  const auto expect = [&](const std::string& question, const std::string& choice, const std::string& text, std::size_t first) {
    const generate::ChoiceRow row = choices_of(question, choice, encode);
    EXPECT_EQ(row.choices[0].tokens, encode(text));
    EXPECT_EQ(row.choices[0].first, first) << text;
    EXPECT_EQ(row.lengths[0], static_cast<double>(choice.size())) << text;
  };
  expect("Is it?", "no", "Is it? no", 6);
  expect("Is it? ", "no", "Is it? no", 6);
  expect("Is it?\n\n", "no", "Is it?\n\nno", 6);
  expect("Is it?", " no", "Is it? no", 6);
  expect("Is it? ", " no", "Is it?  no", 6);

  // After what stands before every text, where there is no question.
  const auto begun = [](const std::string& text) { return encode('\x01' + text); };
  for (const std::string& question : std::vector<std::string>{"", " \n"}) {
    const generate::ChoiceRow row = choices_of(question, "no", begun);
    EXPECT_EQ(row.choices[0].tokens, begun(question + "no"));
    EXPECT_EQ(row.choices[0].first, 1U);
  }
}

TEST(EvaluationRows, AreRefusedByFileAndLine) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& row) {
    std::ofstream(folder / "rows.jsonl") << "{\"text\": \"fine\"}\n" << row << "\n";
    const std::string message = message_of(ErrorKind::input, [&] { generate::read_evaluation(folder / "rows.jsonl", encode, 256); });
    EXPECT_THAT(message, testing::HasSubstr("rows.jsonl:2: ")) << row;
    return message;
  };
  EXPECT_THAT(refusal("{\"text\""), testing::HasSubstr("not JSON"));
  EXPECT_THAT(refusal("[1]"), testing::HasSubstr("no JSON object"));
  EXPECT_THAT(refusal(R"({"txt": "a"})"), testing::HasSubstr("has no \"text\""));
  EXPECT_THAT(refusal(R"({"text": 5})"), testing::HasSubstr("is no text"));
  EXPECT_THAT(refusal(R"({"text": ""})"), testing::HasSubstr("no tokens"));
  EXPECT_THAT(refusal(R"({"choices": ["a", "b"], "answer": 0})"), testing::HasSubstr("\"question\" or \"prompt\" or \"context\""));
  EXPECT_THAT(refusal(R"({"question": "q", "choices": ["a"], "answer": 0})"), testing::HasSubstr("\"choices\""));
  EXPECT_THAT(refusal(R"({"question": "q", "choices": ["a", ""], "answer": 0})"), testing::HasSubstr("\"choices\""));
  EXPECT_THAT(refusal(R"({"question": "q", "choices": ["a", "b"]})"), testing::HasSubstr("\"answer\""));
  EXPECT_THAT(refusal(R"({"question": "q", "choices": ["a", "b"], "answer": 2})"), testing::HasSubstr("\"answer\" is 2"));
  EXPECT_THAT(refusal(R"({"question": "q", "choices": ["a", "b"], "answer": "a"})"), testing::HasSubstr("\"answer\" is \"a\", and a choice's number from 0 is wanted"));
  EXPECT_THAT(refusal(R"({"question": "q", "choices": ["a", "b"], "answer": 0.5})"), testing::HasSubstr("\"answer\" is 0.5"));
  EXPECT_THAT(refusal(R"({"question": " \n", "choices": ["a", "b"], "answer": 0})"), testing::HasSubstr("no tokens"));
  EXPECT_THAT(refusal(R"({"question": "", "choices": ["a", "b"], "answer": 0})"), testing::HasSubstr("no tokens"));
  EXPECT_THAT(message_of(ErrorKind::input, [&] { generate::read_evaluation(folder / "absent.jsonl", encode, 256); }), testing::HasSubstr("absent.jsonl"));
  std::ofstream(folder / "rows.jsonl") << "\n";
  EXPECT_THAT(message_of(ErrorKind::input, [&] { generate::read_evaluation(folder / "rows.jsonl", encode, 256); }), testing::HasSubstr("no rows"));
  std::ofstream(folder / "rows.jsonl") << R"({"text": "ab"})";
  EXPECT_THAT(message_of(ErrorKind::input, [&] { generate::read_evaluation(folder / "rows.jsonl", encode, 98); }), testing::HasSubstr("token id 98"));
}

}  // namespace
}  // namespace gsnake::test
