// Data in every format, through gsnake train: the same tokens give the same losses, and a killed run goes on with the very next row.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string little_endian(const std::vector<std::int64_t>& values, int width) {
  std::string bytes;
  for (const auto value : values) {
    for (int shift = 0; shift < 8 * width; shift += 8) bytes.push_back(static_cast<char>(value >> shift & 0xff));
  }
  return bytes;
}

class DataTest : public CommandTest {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return name;
  }

  // The corpus as token ids.
  [[nodiscard]] std::vector<std::int64_t> ids() const {
    std::ifstream corpus(folder_ / "corpus.txt", std::ios::binary);
    std::vector<std::int64_t> ids;
    for (auto at = std::istreambuf_iterator<char>(corpus); at != std::istreambuf_iterator<char>(); ++at)
      ids.push_back(static_cast<unsigned char>(*at));
    return ids;
  }

  std::string llmc(const std::string& name, std::int64_t magic, std::int64_t version, int width) {
    auto header = little_endian({magic, version, static_cast<std::int64_t>(ids().size())}, 4);
    header.resize(1024);
    return file(name, header + little_endian(ids(), width));
  }

  // Documents of 100 tokens.
  std::string megatron(const std::string& name) {
    const auto all = ids();
    std::vector<std::int64_t> sizes;
    std::vector<std::int64_t> offsets;
    std::vector<std::int64_t> bounds{0};
    for (std::size_t begin = 0; begin < all.size(); begin += 100) {
      sizes.push_back(static_cast<std::int64_t>(std::min<std::size_t>(100, all.size() - begin)));
      offsets.push_back(static_cast<std::int64_t>(4 * begin));
      bounds.push_back(static_cast<std::int64_t>(sizes.size()));
    }
    const auto count = static_cast<std::int64_t>(sizes.size());
    file(name + ".idx", std::string("MMIDIDX\0\0", 9) + little_endian({1}, 8) + little_endian({4}, 1) +
                            little_endian({count, count + 1}, 8) + little_endian(sizes, 4) + little_endian(offsets, 8) +
                            little_endian(bounds, 8));
    return file(name + ".bin", little_endian(all, 4));
  }

  // Examples of 3 to 60 tokens, whose second halves count.
  std::string jsonl(const std::string& name) {
    const auto all = ids();
    std::string lines;
    std::size_t size = 3;
    for (std::size_t begin = 0; begin + size <= all.size(); begin += size, size = 3 + (size + 10) % 58) {
      std::string tokens;
      std::string mask;
      for (std::size_t i = 0; i < size; ++i) {
        tokens.append(i == 0 ? "" : ",").append(std::to_string(all[begin + i]));
        mask.append(i == 0 ? "" : ",").append(2 * i < size ? "0" : "1");
      }
      lines += "{\"tokens\":[" + tokens + "],\"mask\":[" + mask + "]}\n";
    }
    return file(name, lines);
  }

  std::string mask(const std::string& name) {
    std::string mask;
    const auto count = ids().size();
    for (std::size_t i = 0; i < count; ++i) mask.push_back(i / 200 % 3 == 0 ? '\0' : '\1');
    return file(name, mask);
  }

  // What is refused leaves nothing but the files that were there.
  void expect_refused(const std::string& train, const testing::Matcher<std::string>& message, const std::vector<std::string>& more = {}) {
    const auto before = files();
    std::vector<std::string> changes{"data.train=" + train};
    changes.insert(changes.end(), more.begin(), more.end());
    const Outcome outcome = this->train(changes, {"--log-level", "off"});
    expect_one_error_line(outcome, 5, "cannot read tokens from ");
    EXPECT_THAT(outcome.err, message);
    EXPECT_EQ(files(), before);
  }
};

TEST_F(DataTest, EveryFormatOfTheSameTokensGivesTheSameLosses) {
  ASSERT_EQ(train().status, 0);
  const std::vector<std::string> all{file("nano.bin", little_endian(ids(), 2)), llmc("two.bin", 20240520, 1, 2),
                                     llmc("four.bin", 20240801, 7, 4), megatron("meg"), "[{path = \"corpus.txt\", weight = 3}]"};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string run = "run" + std::to_string(i);
    const Outcome outcome = train({"data.train=" + all[i], "run.dir=" + run, "ssd.paths=ssd" + run});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(losses(run), losses()) << all[i];
  }
}

class DataResume;

struct Format {
  const char* name;
  std::vector<std::string> (*settings)(DataResume&);  // makes the files; what a config says of them
};

class DataResume : public DataTest, public testing::WithParamInterface<Format> {
 public:
  using DataTest::file, DataTest::jsonl, DataTest::llmc, DataTest::mask, DataTest::megatron;
};

TEST_P(DataResume, AKilledRunGoesOnWithTheNextRow) {
  auto settings = GetParam().settings(*this);
  auto forever = settings;
  forever.emplace_back("train.steps=1000000");
  {
    Process process(folder_, "killed", train_arguments(forever, {}));
    ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, 4));
    process.signal(SIGKILL);
    process.wait();
  }
  const std::string steps = "train.steps=" + std::to_string(losses().size() + 4);
  auto again = settings;
  again.push_back(steps);
  const Outcome resumed = train(again, {"--resume", "must"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  again.insert(again.end(), {"run.dir=whole", "ssd.paths=whole-ssd"});
  ASSERT_EQ(train(again).status, 0);
  EXPECT_EQ(losses(), losses("whole"));
  EXPECT_FALSE(losses().empty());
}

std::vector<std::string> separate_with_mask(DataResume& test) {
  return {"data.train=[{path = \"" + test.megatron("a") + "\", mask = \"" + test.mask("a.mask") + "\"}]", "data.documents=separate"};
}
std::vector<std::string> masked_ends(DataResume& test) { return {"data.train=" + test.megatron("a"), "data.documents=masked"}; }
std::vector<std::string> weighted(DataResume& test) {
  return {"data.train=[{path = \"" + test.jsonl("a.jsonl") + "\", weight = 0.3}, {path = \"corpus.txt\", weight = 0.7}]"};
}
std::vector<std::string> examples(DataResume& test) { return {"data.train=" + test.jsonl("a.jsonl")}; }
std::vector<std::string> llmc32(DataResume& test) { return {"data.train=" + test.llmc("a.bin", 20240801, 7, 4)}; }

INSTANTIATE_TEST_SUITE_P(Formats, DataResume,
                         testing::Values(Format{"Llmc32", llmc32}, Format{"MegatronSeparateMask", separate_with_mask},
                                         Format{"MegatronMaskedEnds", masked_ends}, Format{"Jsonl", examples},
                                         Format{"Weighted", weighted}),
                         [](const auto& format) { return format.param.name; });

TEST_F(DataTest, ASplitIsValidatedOnWithItsPerplexity) {
  const Outcome outcome = train({"data.validation_split=0.05", "train.validate_every=3", "train.validation_batches=4"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("(perplexity "));
  std::size_t validations = 0;
  for (const Json& line : metrics()) {
    if (!line.contains("validation_perplexity")) continue;
    ++validations;
    EXPECT_NEAR(std::log(line["validation_perplexity"].get<double>()), line["validation_loss"].get<double>(), 1e-6);
  }
  EXPECT_EQ(validations, 2U);
}

TEST_F(DataTest, OnlyCountedTokensAreReported) {
  // Rows of 31 inputs; of each example the last two labels count.
  std::string lines;
  for (int i = 0; i < 64; ++i) {
    lines += R"({"input_ids": [1, 2, 3, 4, 5, 6], "labels": [-100, -100, -100, -100, 5, 6]})"
             "\n";
  }
  ASSERT_EQ(train({"data.train=" + file("a.jsonl", lines)}).status, 0);
  for (const Json& line : metrics()) {
    if (line.contains("event")) continue;
    EXPECT_EQ(line["tokens"], 2 * 2 * 2);
  }
}

TEST_F(DataTest, HostileFilesAreRefusedWithOneLineOfFileAndOffset) {
  expect_refused(file("odd.bin", "abc"), AllOf(HasSubstr("odd.bin"), HasSubstr("offset 2")));
  const auto lying = llmc("lying.bin", 20240801, 7, 4);
  std::filesystem::resize_file(folder_ / lying, 2000);
  expect_refused(lying, AllOf(HasSubstr("lying.bin"), HasSubstr("offset 8")));
  megatron("meg");
  std::fstream(folder_ / "meg.idx", std::ios::in | std::ios::out | std::ios::binary).seekp(18) << little_endian({0x1555555555555556}, 8);
  expect_refused("meg.bin", AllOf(HasSubstr("meg.idx"), HasSubstr("offset 18")));
  expect_refused(file("bad.jsonl", "{\"tokens\": [1, 2]}\n{\"tokens\": [1, 2\n"),
                 AllOf(HasSubstr("bad.jsonl"), HasSubstr("line 2, offset 35")));
  expect_refused(file("large.jsonl", "{\"tokens\": [1, 256]}\n"), HasSubstr("token id 256"));
  expect_refused("[{path = \"corpus.txt\", mask = \"" + file("short.mask", "\1") + "\"}]", HasSubstr("short.mask"));
}

TEST_F(DataTest, ATokenOutsideTheVocabularyEndsTheRunWithFileAndOffset) {
  auto tokens = ids();
  tokens[700] = 4000;
  const Outcome outcome = train({"data.train=" + file("a.bin", little_endian(tokens, 2)), "data.order=sequential"}, {"--log-level", "off"});
  expect_one_error_line(outcome, 5, "a.bin: token id 4000 at offset 1400 is not below model.vocab = 256");
  EXPECT_EQ(metrics().back()["exit_status"], 5);
}

TEST_F(DataTest, TextForATokenizerIsRefusedWithWhatToDo) {
  const Outcome outcome = train({"data.tokenizer=tokenizer.json"}, {"--log-level", "off"});
  expect_one_error_line(outcome, 2, "corpus.txt is text; turn it into tokens first: scripts/tokenize --tokenizer ");
}

}  // namespace
}  // namespace gsnake::test
