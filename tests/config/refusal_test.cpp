// What is refused, and that the one line names the key, the value and what is allowed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "config/keys.h"
#include "config_text.h"

namespace gsnake {
namespace {

using test::minimal;
using test::refusal;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(ConfigRefuses, UnknownKeyWithTheNearestOne) {
  EXPECT_EQ(refusal(minimal("[optimizer]\nepsilom = 1e-8")), "unknown key optimizer.epsilom in config:4; did you mean optimizer.epsilon?");
  EXPECT_EQ(refusal(minimal("train.stepz = 5")), "unknown key train.stepz in config:3; did you mean train.steps?");
}

TEST(ConfigRefuses, UnknownTableWithTheNearestOne) {
  EXPECT_EQ(refusal(minimal("[trian]\nsteps = 5")), "unknown key trian in config:3; did you mean train?");
}

TEST(ConfigRefuses, KeyOfAnotherSectionWithItsPlace) {
  EXPECT_EQ(refusal(minimal("train.learning_rate = 1")),
            "unknown key train.learning_rate in config:3; did you mean optimizer.learning_rate?");
  EXPECT_EQ(refusal(minimal("steps = 1")), "unknown key steps in config:3; did you mean train.steps?");
}

TEST(ConfigRefuses, UnknownKeyThatResemblesNothingWithoutAGuess) {
  EXPECT_EQ(refusal(minimal("frobnicate = 1")), "unknown key frobnicate in config:3");
}

TEST(ConfigRefuses, UnknownPartOfAPlacement) {
  EXPECT_THAT(refusal(minimal("placement.weights = { hots = 1 }")), HasSubstr("did you mean placement.weights.host?"));
}

TEST(ConfigRefuses, UnknownKeyInAnOverride) {
  EXPECT_EQ(refusal(minimal(), {"train.stepz=5"}), "unknown key train.stepz in --set train.stepz=5; did you mean train.steps?");
}

TEST(ConfigRefuses, OverrideWithoutAValueOrKey) {
  EXPECT_THAT(refusal(minimal(), {"train.steps"}), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(refusal(minimal(), {"=5"}), HasSubstr("KEY=VALUE"));
}

TEST(ConfigRefuses, ValueWhereATableIsExpected) {
  EXPECT_EQ(refusal(minimal(), {"optimizer=adamw"}), "optimizer = 'adamw' in --set optimizer=adamw: it is a table of keys, not a value");
}

TEST(ConfigRefuses, WrongTypeWithWhatIsAllowed) {
  EXPECT_EQ(refusal(minimal("\n\ntrain.steps = \"many\"")), "train.steps = 'many' in config:5: must be an integer in 1..2147483647");
  EXPECT_THAT(refusal(minimal("train.steps = 1.5")), HasSubstr("must be an integer"));
  EXPECT_THAT(refusal(minimal("model.tie_embeddings = 1")), HasSubstr("must be true or false"));
  EXPECT_THAT(refusal(minimal("optimizer.betas = [0.9]")), HasSubstr("must be a list of two, each a number >= 0 and < 1"));
  EXPECT_THAT(refusal(minimal("data.validation = [1, 2]")), HasSubstr("must be a list of paths"));
  EXPECT_THAT(refusal(minimal("memory.host_budget = \"4 GG\"")), HasSubstr("such as \"4 GiB\""));
  EXPECT_THAT(refusal(minimal("emulate.ssd_read = \"fast\"")), HasSubstr("such as \"200 MB/s\""));
  EXPECT_THAT(refusal(minimal("emulate.compute = \"200 MB/s\"")), HasSubstr("such as \"50 GFLOP/s\""));
}

TEST(ConfigRefuses, ValueOutOfRange) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"train.steps = 0", "an integer in 1..2147483647"},
      {"train.micro_batches = 0", "an integer in 1.."},
      {"train.seed = -1", "an integer >= 0"},
      {"train.delay = 1.5", "\"auto\" or a number in 0..1"},
      {"train.delay = -1", "\"auto\" or a number in 0..1"},
      {"train.loss_scale = 0", "\"dynamic\" or a number > 0"},
      {"optimizer.betas = [0.9, 1.0]", ">= 0 and < 1"},
      {"optimizer.epsilon = 0", "a number > 0"},
      {"optimizer.learning_rate = nan", "a number >= 0"},
      {"optimizer.learning_rate = inf", "a number >= 0"},
      {"model.dropout = 1.0", ">= 0 and < 1"},
      {"model.hidden = 0", "an integer in 1.."},
      {"memory.host_budget = 0", "a size above 0"},
      {"memory.host_budget = -5", "a size above 0"},
      {"memory.device = \"cuda:\"", "\"cpu\" or \"cuda:N\""},
      {"memory.device = \"gpu\"", "\"cpu\" or \"cuda:N\""},
      {"memory.device = \"cuda:{rank}\"", "\"cpu\" or \"cuda:N\""},
      {"emulate.h2d = -1", "bytes a second"},
      {"run.dir = \"\"", "not empty"},
      {"run.trace_steps = [4, 2]", "the second not below the first"},
      {"run.trace_steps = [0, 2]", "an integer in 1.."},
      {"data.validation = [\"\"]", "none of them empty"},
      {"data.validation = [{ weight = 1 }]", "a list of paths, none of them empty, or of tables such as"},
      {"data.validation = [{ path = \"a\", weight = 0 }]", "or of tables such as"},
      {"data.validation = [{ path = \"a\", weigth = 1 }]", "or of tables such as"},
      {"data.validation_split = 1.0", ">= 0 and < 1"},
      {"data.documents = \"stacked\"", "one of auto, joined, masked, separate, packed"},
      {"data.order = \"random\"", "one of shuffled, sequential"},
      {"ssd.weights = [0]", "a number > 0"},
      {"placement.weights = { host = 1.1 }", "a number in 0..1"},
      {"placement.weights = 1", "\"auto\", or a table"},
      {"placement.weights = \"best\"", "\"auto\", or a table"},
      {"placement.update = { device = 1.5 }", "a number in 0..1"},
      {"placement.update = 0.5", "\"auto\", or a table"},
  };
  for (const auto& [line, allowed] : cases) {
    const auto message = refusal(minimal(line));
    EXPECT_THAT(message, HasSubstr(allowed)) << line;
    EXPECT_THAT(message, StartsWith(line.substr(0, line.find(' ')))) << line;
    EXPECT_THAT(message, HasSubstr("in config:3: must be")) << line;
  }
}

TEST(ConfigRefuses, KeysThatContradictOneAnother) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"train.sequence_length = 2048", "train.sequence_length = 2048: must be at most model.context = 1024"},
      {"model.heads = 7", "model.heads = 7: must divide model.hidden = 768"},
      {"model.kv_heads = 5", "model.kv_heads = 5: must divide model.heads = 12"},
      {"model.kv_heads = 4", "model.kv_heads = 4: the gpt2 family"},
      {"model.head_dim = 128", "model.head_dim = 128: the gpt2 family"},
      {"[model]\nfamily = \"llama\"\nintermediate = 8\nhidden = 36", "must be even"},
      {"train.schedule = \"horizontal\"\ntrain.order = \"snake\"", "train.order = \"snake\": the horizontal schedule is ascending"},
      {"[optimizer]\ndecay = \"cosine\"\nwarmup_steps = 10\ndecay_steps = 10",
       "optimizer.decay_steps = 10: must be above optimizer.warmup_steps = 10"},
      {"optimizer.min_learning_rate = 1", "optimizer.min_learning_rate = 1: must be at most"},
      {"placement.weights = { device = 0.6, host = 0.6 }", "must sum to at most 1"},
      {"data.validation = [\"v.txt\"]\ndata.validation_split = 0.1", "data.validation_split = 0.1: data.validation names files"},
      {"data.validation = [{ path = \"a.bin\", weight = 1 }]", "data.validation: its files have no weights"},
      {"train.validate_every = 5", "train.validate_every = 5: data.validation names no file"},
      {"data.separator = 50304", "data.separator = 50304: must be below model.vocab"},
      {"ssd.paths = []", "ssd.paths = []: name at least one"},
      {"ssd.paths = [\"a\", \"./a/\"]", "is named twice"},
      {"ssd.paths = [\"run\"]", "or is run.dir"},
      {"ssd.weights = [1, 1]", "ssd.weights: 2 shares for 1 paths"},
      {"run.trace = \"metrics.jsonl\"", "is run.metrics as well"},
      {"train.micro_batches = 2147483647\ntrain.micro_batch_size = 2147483647", "more than 2^40 tokens"},
  };
  for (const auto& [lines, message] : cases) EXPECT_THAT(refusal(minimal(lines)), HasSubstr(message)) << lines;
}

TEST(ConfigRefuses, WhatAFamilyDoesNotHave) {
  const auto of = [](const std::string& family, const std::string& line) { return refusal(minimal("[model]\nfamily = \"" + family + "\"\n" + line)); };
  EXPECT_THAT(of("llama", "qkv_bias = true"), HasSubstr("model.qkv_bias: the llama family has none, only gpt2 and qwen2"));
  EXPECT_THAT(of("qwen2", "qk_norm = true"), HasSubstr("model.qk_norm: the qwen2 family has none"));
  EXPECT_THAT(of("llama", "sliding_window = 128"), HasSubstr("model.sliding_window: the llama family has none"));
  EXPECT_THAT(of("gpt2", "rope_scaling = { type = \"linear\", factor = 2 }"), HasSubstr("model.rope_scaling.type: the gpt2 family has none"));
  EXPECT_THAT(of("qwen3", "dropout = 0.1"), HasSubstr("model.dropout: the qwen3 family has none"));
}

TEST(ConfigFromAFolder, TakesTheShapeAndRefusesAnother) {
  const std::string folder = GSNAKE_FIXTURES "/qwen3";
  const auto with = [&](const std::string& lines) { return minimal("train.sequence_length = 8\n[model]\nfrom = \"" + folder + "\"\n" + lines); };
  const Config config = Config::parse(with(""));
  EXPECT_EQ(config.model.family, ModelFamily::qwen3);
  EXPECT_EQ(config.model.hidden, 16);
  EXPECT_EQ(config.model.from, folder);
  EXPECT_EQ(Config::parse(with("hidden = 16\ncontext = 99")).model.context, 99);
  EXPECT_THAT(refusal(with("hidden = 32")), HasSubstr("model.hidden = 32: config.json of model.from says 16; leave it out"));
  EXPECT_THAT(refusal(with("family = \"llama\"")), HasSubstr("model.family = \"llama\": config.json of model.from says \"qwen3\""));
}

TEST(ConfigFromAFolder, ThatIsMissingIsAnInputFile) {
  try {
    Config::parse(minimal("model.from = \"/absent\""));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("/absent: there is no such folder"));
  }
}

TEST(ConfigRefuses, ToBeValidWhenCodeSetsAValueOutOfRange) {
  auto config = test::parsed("");
  config.train.micro_batches = 0;
  EXPECT_THROW(config.validate(), Error);
  config = test::parsed("");
  config.optimizer.epsilon = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(config.validate(), Error);
  config = test::parsed("");
  config.placement.gradients.device = 0.5;
  EXPECT_THROW(config.validate(), Error);
  config = test::parsed("");
  config.run.durability = static_cast<Durability>(9);
  EXPECT_THROW(config.validate(), Error);
}

TEST(ConfigRefuses, WhatThisBuildCannotDo) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"run = { snapshot_every = 10, durability = \"off\" }", "run.snapshot_every = 10: a snapshot is a copy of a commit"},
  };
  for (const auto& [lines, message] : cases) EXPECT_THAT(refusal(minimal(lines)), HasSubstr(message)) << lines;
  EXPECT_THAT(refusal(minimal("optimizer.name = \"adafactor\"")), HasSubstr("must be one of adamw"));
}

TEST(ConfigRefuses, MicroBatchesThatTheRanksDoNotDivide) {
  Config config = test::parsed("train.micro_batches = 6");
  config.ranks.count = 4;
  try {
    config.validate();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("train.micro_batches = 6: 4 ranks take equal shares of a step's micro-batches; make it a multiple of 4"));
  }
  config.ranks.count = 3;
  EXPECT_NO_THROW(config.validate());
}

}  // namespace
}  // namespace gsnake
