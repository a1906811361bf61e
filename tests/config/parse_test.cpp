// What a config's text means: values, units, paths, overrides, and the round trip through JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "config/keys.h"
#include "config/to_toml.h"
#include "config_text.h"

namespace gsnake {
namespace {

using test::minimal;
using test::parsed;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string here(const std::string& name) { return (std::filesystem::current_path() / name).string(); }

TEST(ConfigPlacement, GivesTheDeviceItsPartOfTheUpdates) {
  EXPECT_EQ(parsed("").placement.update.device, 0.0);
  EXPECT_EQ(parsed("[placement]\nupdate = { device = 0.25 }").placement.update.device, 0.25);
  EXPECT_FALSE(parsed("placement.update = { device = 0.25 }").leaves_choices());
  const auto automatic = parsed("placement.update = \"auto\"");
  EXPECT_TRUE(automatic.placement.update.automatic);
  EXPECT_TRUE(automatic.leaves_choices());
}

TEST(ConfigParse, KeepsDefaultsOfWhatIsNotSaid) {
  const auto config = parsed("");
  EXPECT_EQ(config.model.hidden, 768);
  EXPECT_EQ(config.train.steps, 1000);
  EXPECT_EQ(config.train.head_chunk, 256);
  EXPECT_DOUBLE_EQ(config.optimizer.beta2, 0.95);
  EXPECT_EQ(config.memory.host_budget, 4ULL << 30);
  EXPECT_EQ(config.placement.activations.host, 1.0);
  EXPECT_EQ(config.train.delay, -1.0);
}

TEST(ConfigParse, TakesEveryKindOfValue) {
  const auto config = parsed(R"(
    [model]
    family = "llama"
    hidden = 64
    heads = 4
    kv_heads = 2
    intermediate = 192
    tie_embeddings = false
    rope_theta = 500000
    [optimizer]
    betas = [0.8, 0.999]
    [ssd]
    paths = ["a", "b"]
    weights = [1, 2.5]
    [run]
    trace_steps = [3, 7]
  )");
  EXPECT_EQ(config.model.kv_heads, 2);
  EXPECT_FALSE(config.model.tie_embeddings);
  EXPECT_EQ(config.model.rope_theta, 500000.0);
  EXPECT_EQ(config.optimizer.beta1, 0.8);
  EXPECT_EQ(config.optimizer.beta2, 0.999);
  EXPECT_THAT(config.ssd.paths, ElementsAre(here("a"), here("b")));
  EXPECT_THAT(config.ssd.weights, ElementsAre(1.0, 2.5));
  EXPECT_EQ(config.run.trace_first, 3);
  EXPECT_EQ(config.run.trace_last, 7);
}

TEST(ConfigParse, TakesSizesAsBytesOrWithUnits) {
  EXPECT_EQ(parsed("memory.host_budget = 4096").memory.host_budget, 4096u);
  EXPECT_EQ(parsed("memory.host_budget = \"1.5 GiB\"").memory.host_budget, 3ULL << 29);
  EXPECT_EQ(parsed("memory.device_budget = \"512MiB\"").memory.device_budget, 512ULL << 20);
}

TEST(ConfigParse, TakesRatesWithAndWithoutPerSecond) {
  const auto config =
      parsed("[emulate]\nssd_read = \"200 MB/s\"\nssd_write = \"200 MB\"\nh2d = 1e9\nd2h = 5\ncompute = \"50 GFLOP/s\"\noptimizer = \"\"");
  EXPECT_EQ(config.emulate.ssd_read, 200e6);
  EXPECT_EQ(config.emulate.ssd_write, 200e6);
  EXPECT_EQ(config.emulate.h2d, 1e9);
  EXPECT_EQ(config.emulate.d2h, 5.0);
  EXPECT_EQ(config.emulate.compute, 50e9);
  EXPECT_EQ(config.emulate.optimizer, 0.0);
  EXPECT_EQ(parsed("emulate.compute = \"2.5T\"").emulate.compute, 2.5e12);
}

TEST(ConfigParse, TakesWordsInPlaceOfNumbers) {
  EXPECT_EQ(parsed("train.delay = \"auto\"").train.delay, -1.0);
  EXPECT_EQ(parsed("train.delay = 1").train.delay, 1.0);
  EXPECT_EQ(parsed("train.loss_scale = \"dynamic\"").train.loss_scale, -1.0);
  EXPECT_EQ(parsed("train.loss_scale = 1024").train.loss_scale, 1024.0);
}

TEST(ConfigParse, PlacementTableReplacesTheWholeValue) {
  const auto config = parsed("[placement]\nweights = { device = 0.25, host = 0.5 }\nactivations = { device = 0.5 }");
  EXPECT_EQ(config.placement.weights.device, 0.25);
  EXPECT_EQ(config.placement.weights.host, 0.5);
  EXPECT_EQ(config.placement.activations.device, 0.5);
  EXPECT_EQ(config.placement.activations.host, 0.0) << "the default host = 1.0 must not stay beside device = 0.5";
  EXPECT_EQ(config.placement.gradients.host, 1.0);
}

TEST(ConfigParse, AThirdWrittenInDecimalsThreeTimesIsAWhole) {
  EXPECT_NO_THROW(parsed("placement.weights = { device = 0.3333333333333333, host = 0.6666666666666667 }"));
}

TEST(ConfigParse, RelativePathsFollowTheFileAndAbsoluteOnesStay) {
  const auto config = Config::parse(minimal("data.validation = [\"/abs/v.txt\", \"../v.txt\"]\nrun.trace = \"t.json\""), "/conf/a");
  EXPECT_THAT(config.data.train, ElementsAre("/conf/a/corpus.txt"));
  EXPECT_THAT(config.data.validation, ElementsAre("/abs/v.txt", "/conf/v.txt"));
  EXPECT_THAT(config.ssd.paths, ElementsAre("/conf/a/ssd")) << "defaults are as if written in the file";
  EXPECT_EQ(config.run.dir, "/conf/a/run");
  EXPECT_EQ(config.run.metrics, "metrics.jsonl") << "relative to run.dir, not to the file";
  EXPECT_EQ(config.run.trace, "t.json");
  EXPECT_EQ(config.data.tokenizer, "bytes") << "a word, not a path";
  EXPECT_EQ(config.model.from, "");
}

TEST(ConfigParse, DataFilesMayHaveWeightsAndMasks) {
  const std::string files = "data.train = [{ path = \"a.bin\", weight = 0.5, mask = \"a.mask\" }, { path = \"/b.bin\", weight = 2 }]";
  const auto config = Config::parse(files, "/conf");
  ASSERT_EQ(config.data.train.size(), 2U);
  EXPECT_EQ(config.data.train[0].path, "/conf/a.bin");
  EXPECT_EQ(config.data.train[0].mask, "/conf/a.mask");
  EXPECT_EQ(config.data.train[0].weight, 0.5);
  EXPECT_EQ(config.data.train[1].path, "/b.bin");
  EXPECT_EQ(config.data.train[1].weight, 2.0);
  EXPECT_THAT(config.to_json(), HasSubstr(R"([{"path":"/conf/a.bin","weight":0.5,"mask":"/conf/a.mask"},{"path":"/b.bin","weight":2.0}])"));
  EXPECT_THROW(Config::parse("data.train = [{ path = \"a.bin\", weight = 0.5 }, \"b.bin\"]"), Error) << "all have a weight or none";
}

TEST(ConfigOverride, PathsFollowTheCurrentFolder) {
  const auto config = Config::parse(minimal(), "/conf", {"run.dir=./new", "ssd.paths=[\"a\", \"b\"]"});
  EXPECT_EQ(config.run.dir, here("new"));
  EXPECT_THAT(config.ssd.paths, ElementsAre(here("a"), here("b")));
  EXPECT_THAT(config.data.train, ElementsAre("/conf/corpus.txt"));
}

TEST(ConfigOverride, TakesTomlValuesAndBareText) {
  const auto config = parsed("train.steps = 9", {"train.steps=5", "train.order=snake", "optimizer.betas=[0.5, 0.6]", "data.train=a.txt",
                                                 "memory.host_budget=2 GiB", "placement.weights={ host = 0.5 }", "train.delay=auto",
                                                 "run.trace=", "emulate.ssd_read=20 MB/s", "model.rope_scaling.factor=2"});
  EXPECT_EQ(config.train.steps, 5);
  EXPECT_EQ(config.train.order, MicroBatchOrder::snake);
  EXPECT_EQ(config.optimizer.beta1, 0.5);
  EXPECT_THAT(config.data.train, ElementsAre(here("a.txt")));
  EXPECT_EQ(config.memory.host_budget, 2ULL << 30);
  EXPECT_EQ(config.placement.weights.host, 0.5);
  EXPECT_EQ(config.run.trace, "");
  EXPECT_EQ(config.emulate.ssd_read, 20e6);
  EXPECT_EQ(config.model.rope_scaling.factor, 2.0);
}

TEST(ConfigOverride, TextThatTomlReadsAsANumberOrDateIsStillAPath) {
  EXPECT_EQ(parsed("", {"run.dir=2026"}).run.dir, here("2026"));
  EXPECT_EQ(parsed("", {"run.dir=2026-01-02"}).run.dir, here("2026-01-02"));
  EXPECT_THAT(parsed("", {"data.train=7"}).data.train, ElementsAre(here("7")));
}

TEST(ConfigOverride, APartOfAPlacementLeavesTheOtherPart) {
  const auto config = parsed("placement.weights = { device = 0.25, host = 0.5 }", {"placement.weights.host=0.25"});
  EXPECT_EQ(config.placement.weights.device, 0.25);
  EXPECT_EQ(config.placement.weights.host, 0.25);
}

TEST(ConfigOverride, TheLastOneWinsAndAValueOfSeveralLinesIsNoWayToSetAnotherKey) {
  EXPECT_EQ(parsed("", {"train.steps=5", "train.steps=6"}).train.steps, 6);
  EXPECT_THAT(test::refusal(minimal(), {"train.steps=5 x"}), StartsWith("train.steps = '5 x' in --set"));
}

TEST(ConfigJson, HasTheStructureOfTheToml) {
  auto config = parsed("placement.weights = { host = 0.5 }");
  config.placement.optimizer.automatic = true;
  const auto json = nlohmann::json::parse(config.to_json());
  EXPECT_EQ(json["train"]["steps"], 1000);
  EXPECT_EQ(json["train"]["delay"], "auto");
  EXPECT_EQ(json["train"]["loss_scale"], "dynamic");
  EXPECT_EQ(json["optimizer"]["betas"], nlohmann::json::array({0.9, 0.95}));
  EXPECT_EQ(json["placement"]["optimizer"], "auto");
  EXPECT_EQ(json["placement"]["weights"], (nlohmann::json{{"device", 0.0}, {"host", 0.5}}));
  EXPECT_EQ(json["model"]["rope_scaling"]["type"], "");
}

// A whole config other than the default, written as overrides from its own JSON, gives the same JSON.
TEST(ConfigJson, ReadsBackAsItself) {
  const auto config = parsed(
      "placement.weights = { host = 0.1 }\noptimizer.learning_rate = 1.7e-5\ntrain.delay = 0.7\n"
      "emulate.compute = \"3 TFLOP/s\"\nssd.paths = [\"x\", \"y z\"]\nssd.weights = [1, 3]\ntrain.seed = 9223372036854775807");
  std::vector<std::string> overrides;
  const auto json = nlohmann::json::parse(config.to_json());
  for (const auto& [section, keys] : json.items()) {
    for (const auto& [key, value] : keys.items()) {
      if (!value.is_object()) {
        overrides.push_back(section + "." + key + "=" + value.dump());
        continue;
      }
      for (const auto& [part, part_value] : value.items()) overrides.push_back(section + "." + key + "." + part + "=" + part_value.dump());
    }
  }
  EXPECT_EQ(Config::parse("", "/elsewhere", overrides).to_json(), config.to_json());
}

TEST(ConfigLeavesChoices, WhereItSaysAuto) {
  EXPECT_FALSE(parsed("").leaves_choices());
  EXPECT_FALSE(parsed("train.delay = \"auto\"").leaves_choices());  // which has a meaning by itself
  for (const char* line : {"train.micro_batches = \"auto\"", "placement.weights = \"auto\"", "placement.optimizer = \"auto\"", "placement.activations = \"auto\"",
                           "placement.gradients = \"auto\"", "memory.host_budget = \"auto\"", "memory.device_budget = \"auto\"", "optimizer.moments = \"auto\""}) {
    const Config config = parsed(line);
    EXPECT_TRUE(config.leaves_choices()) << line;
    EXPECT_NO_THROW(config.validate()) << line;
    EXPECT_NE(config.to_json().find("\"auto\""), std::string::npos) << line;
    EXPECT_EQ(Config::parse(config::to_toml(config), "/elsewhere").to_json(), config.to_json()) << line;
  }
  const Config all = Config::automatic();
  EXPECT_TRUE(all.leaves_choices());
  EXPECT_EQ(all.train.micro_batches, Config().train.micro_batches);  // part of the maths
  EXPECT_EQ(all.optimizer.moments, MomentFormat::fp32);
}

TEST(ConfigAsToml, SaysTheSame) {
  const Config config = parsed("", {"data.train=[{ path = \"/a \\\"b\\\".bin\", weight = 0.5 }, { path = \"/c.bin\", weight = 2.5, mask = \"/m\" }]", "optimizer.betas=[0.8, 0.99]", "placement.weights={ host = 0.25 }",
                                    "train.steps=7", "emulate.ssd_read=\"200 MB/s\"", "optimizer.learning_rate=1e-5", "train.loss_scale=\"dynamic\""});
  EXPECT_EQ(Config::parse(config::to_toml(config), "/elsewhere").to_json(), config.to_json());
}

// Manifests are JSON: a run would fail at its first commit.
TEST(ConfigPaths, WhatIsNotUtf8IsRefused) {
  for (const char* key : {"run.dir", "ssd.paths", "data.train", "data.validation", "run.metrics", "run.trace", "data.tokenizer"}) {
    try {
      parsed("", {std::string(key) + "=a\xff" "b"});
      ADD_FAILURE() << key;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), testing::StartsWith(std::string(key) + " = "));
      EXPECT_THAT(error.what(), testing::HasSubstr("not UTF-8"));
    }
  }
}

TEST(ConfigPaths, ATildeIsTheHomeFolder) {
  const char* home = std::getenv("HOME");
  const std::string before = home == nullptr ? "" : home;
  ::setenv("HOME", "/somebody", 1);
  const Config config = parsed("", {"data.train=~/a.txt", "run.dir=~/run", "ssd.paths=[\"~\"]"});
  EXPECT_EQ(config.run.dir, "/somebody/run");
  EXPECT_EQ(config.ssd.paths, std::vector<std::string>{"/somebody"});
  EXPECT_EQ(config.data.train.front().path, "/somebody/a.txt");
  EXPECT_THAT(parsed("", {"run.dir=a/~/b"}).run.dir, testing::EndsWith("/a/~/b"));
  ::unsetenv("HOME");
  EXPECT_THROW(parsed("", {"run.dir=~/run"}), Error);
  if (home != nullptr) ::setenv("HOME", before.c_str(), 1);
}

// Each word of each choice is taken, and is what manifests and reports say of it.
TEST(ConfigChoices, AreWrittenAsTheWordsThatTheyWereReadFrom) {
  int choices = 0;
  for (const config::Key& key : config::keys()) {
    if (!key.allowed.starts_with("one of ")) continue;
    ++choices;
    std::string words = key.allowed.substr(std::string("one of ").size()) + ", ";
    for (std::size_t end = words.find(", "); end != std::string::npos; words.erase(0, end + 2), end = words.find(", ")) {
      const std::string word = words.substr(0, end) == "\"\"" ? "" : words.substr(0, end);
      Config config;
      ASSERT_TRUE(key.assign(config, toml::value<std::string>(word))) << key.name << " = " << word;
      EXPECT_EQ(key.read(config), word) << key.name;
      EXPECT_TRUE(key.in_range(config)) << key.name << " = " << word;
    }
    Config untouched;
    EXPECT_FALSE(key.assign(untouched, toml::value<std::string>("nothing of the kind"))) << key.name;
    EXPECT_EQ(untouched.to_json(), Config{}.to_json());
  }
  EXPECT_EQ(choices, 20);
}

// As many words as values: the last of each has the last.
TEST(ConfigChoices, HaveAWordForEveryValue) {
  EXPECT_STREQ(word_of(ModelFamily::mistral), "mistral");
  EXPECT_STREQ(word_of(RopeScalingType::llama3), "llama3");
  EXPECT_STREQ(word_of(WindowOrder::sequential), "sequential");
  EXPECT_STREQ(word_of(Documents::separate), "separate");
  EXPECT_STREQ(word_of(Dtype::fp16), "fp16");
  EXPECT_STREQ(word_of(ComputeDtype::fp32), "fp32");
  EXPECT_STREQ(word_of(ThreadPinning::apart), "apart");
  EXPECT_STREQ(word_of(Schedule::horizontal), "horizontal");
  EXPECT_STREQ(word_of(MicroBatchOrder::ascending), "ascending");
  EXPECT_STREQ(word_of(OnNonfinite::skip), "skip");
  EXPECT_STREQ(word_of(UpdateRule::sgd), "sgd");
  EXPECT_STREQ(word_of(ClippingMode::speculative), "speculative");
  EXPECT_STREQ(word_of(LearningRateDecay::wsd), "wsd");
  EXPECT_STREQ(word_of(MomentFormat::bf16), "bf16");
  EXPECT_STREQ(word_of(EngineChoice::threads), "threads");
  EXPECT_STREQ(word_of(EngineChoice::cufile), "cufile");
  EXPECT_STREQ(word_of(ReadChecks::resume), "resume");
  EXPECT_STREQ(word_of(Durability::off), "off");
  EXPECT_STREQ(word_of(Resume::must), "must");
  EXPECT_STREQ(word_of(static_cast<Durability>(9)), "?");
}

class ConfigFile : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("gsnake-config-" + std::to_string(::getpid()));
};

TEST_F(ConfigFile, LoadsAndResolvesPathsBesideTheFile) {
  std::ofstream(folder_ / "run.toml") << minimal();
  EXPECT_THAT(Config::load((folder_ / "run.toml").string()).data.train, ElementsAre((folder_ / "corpus.txt").string()));
}

TEST_F(ConfigFile, NamesFileAndLineOfAMistake) {
  const auto path = (folder_ / "run.toml").string();
  std::ofstream(path) << minimal("[train]\n");
  EXPECT_THROW(
      {
        try {
          static_cast<void>(Config::load(path));
        } catch (const Error& error) {
          EXPECT_THAT(error.what(), StartsWith(path + ":3:"));
          throw;
        }
      },
      Error);
}

TEST_F(ConfigFile, MissingFileAndFolderAreInputErrors) {
  for (const auto& path : {folder_ / "absent.toml", folder_}) {
    try {
      static_cast<void>(Config::load(path.string()));
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
      EXPECT_NE(error.code().value(), 0);
    }
  }
}

}  // namespace
}  // namespace gsnake
