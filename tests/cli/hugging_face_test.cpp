// gsnake import and export, and model.from, as a user calls them.
#include <gmock/gmock.h>
#include <signal.h>

#include <map>

#include "cli/command.h"
#include "cli/files.h"
#include "cli/model_folder.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class HuggingFaceTest : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    put_model(folder_);
    put(folder_ / "model.toml", R"(
model.from = "hf"
data = { train = ["tokens.bin"], order = "sequential" }
train = { steps = 3, micro_batches = 2, micro_batch_size = 2, sequence_length = 12, dtype = "fp32", compute_threads = 1 }
memory = { host_budget = "64 MiB", device_budget = "64 MiB" }
)");
  }
  // Nothing may be made where an import is refused.
  void expect_refused(int status, const std::string& part) {
    const std::vector<std::string> before = files();
    expect_one_error_line(run({"import", "--from", "hf", "--run", "imported"}), status, part);
    expect_one_error_line(run({"train", "model.toml", "--log-level", "warn"}), status, part);
    EXPECT_EQ(files(), before);
  }
  void change_config(const std::string& key, const Json& value) {
    Json config = Json::parse(bytes_of(folder_ / "hf/config.json"));
    config[key] = value;
    put(folder_ / "hf/config.json", config.dump());
  }
};

TEST_F(HuggingFaceTest, ImportTrainExportImport) {
  const Outcome imported = run({"import", "model.toml", "--from", "hf", "--run", "run", "--json"});
  ASSERT_EQ(imported.status, 0) << imported.err;
  EXPECT_EQ(Json::parse(imported.out)["step"], 0);
  EXPECT_EQ(Json::parse(imported.out)["files"], 2);
  const Outcome trained = run({"train", "model.toml", "--resume", "must"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const std::vector<Json> lines = metrics();
  EXPECT_EQ(lines.front()["event"], "start");
  const std::vector<double> expected = Json::parse(bytes_of(folder_ / "hf/losses.json"));
  EXPECT_NEAR(losses().at(0), expected[0], 1e-5 * expected[0]);
  const Outcome exported = run({"export", "--run", "run", "--to", "out", "--shard-size", "10 kB", "--json"});
  ASSERT_EQ(exported.status, 0) << exported.err;
  EXPECT_EQ(Json::parse(exported.out)["step"], 3);
  EXPECT_TRUE(fs::exists(folder_ / "out/model.safetensors.index.json"));
  EXPECT_TRUE(fs::exists(folder_ / "out/tokenizer.json"));
  const Outcome again = run({"import", "--from", "out", "--run", "again"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("committed as step 0 in"));
}

TEST_F(HuggingFaceTest, TrainStartsFromTheFolderAsAnImportDoes) {
  ASSERT_EQ(run({"train", "model.toml"}).status, 0);
  ASSERT_EQ(run({"import", "model.toml", "--from", "hf", "--run", "other", "--set", "ssd.paths=other_ssd"}).status, 0);
  ASSERT_EQ(run({"train", "model.toml", "--set", "run.dir=other", "--set", "ssd.paths=other_ssd"}).status, 0);
  EXPECT_EQ(losses(), losses("other"));
  // Rotary positions go as far as one likes.
  EXPECT_EQ(run({"train", "model.toml", "--set", "run.dir=other", "--set", "ssd.paths=other_ssd", "--set", "train.steps=4", "--set", "model.context=77", "--allow-change",
                 "model.context"}).status, 0);
  // A resume reads the folder's shape alone.
  for (const char* shard : {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) fs::remove(folder_ / "hf" / shard);
  EXPECT_EQ(run({"train", "model.toml", "--set", "train.steps=4"}).status, 0);
}

// What a family stands for and what a folder spells out are the same shape; a missing [model] is the run's.
TEST_F(HuggingFaceTest, AnImportedRunIsTrainedByAConfigThatSaysTheSameInOtherWords) {
  ASSERT_EQ(run({"import", "--from", "hf", "--run", "run", "--set", "train.dtype=fp32"}).status, 0);
  const Json model = Json::parse(run({"inspect", "run", "--json"}).out)["config"]["model"];
  const std::string rest = R"(
data = { train = ["tokens.bin"], order = "sequential" }
train = { steps = 1, micro_batches = 2, micro_batch_size = 2, sequence_length = 12, dtype = "fp32", compute_threads = 1 }
memory = { host_budget = "64 MiB", device_budget = "64 MiB" }
ssd.paths = ["run/ssd"]
)";
  put(folder_ / "none.toml", rest);
  EXPECT_EQ(run({"train", "none.toml"}).status, 0);
  std::string spelt = "model = { from = \"\"";
  for (const auto& [key, value] : model.items()) {
    if (key == "from") continue;
    const Json table = value.is_object() ? value : Json{{"", value}};
    for (const auto& [part, inner] : table.items()) spelt += ", " + key + (part.empty() ? "" : "." + part) + " = " + inner.dump();
  }
  put(folder_ / "spelt.toml", spelt + " }\n" + rest);
  const Outcome outcome = run({"train", "spelt.toml", "--set", "train.steps=2", "--set", "model.head_dim=0"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST_F(HuggingFaceTest, GenerateSamplesFromAFolderAsFromItsImportAndLeavesNothing) {
  fs::remove(folder_ / "hf/tokenizer.json");
  const Surroundings here{{"TMPDIR=" + folder_.string()}, nullptr};
  const std::vector<std::string> before = files();
  const std::vector<std::string> rest{"--prompt-tokens", "1,2,3", "--tokens", "6", "--temperature", "0", "--json"};
  const auto tokens_of = [&](std::vector<std::string> words) {
    words.insert(words.end(), rest.begin(), rest.end());
    const Outcome outcome = run(words, here);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out)["tokens"] : Json();
  };
  const Json from_folder = tokens_of({"generate", "--model", "hf"});
  EXPECT_EQ(from_folder.size(), 6U);
  EXPECT_EQ(files(), before);
  ASSERT_EQ(run({"import", "--from", "hf", "--run", "run", "--set", "train.dtype=fp32"}).status, 0);
  EXPECT_EQ(tokens_of({"generate", "--run", "run"}), from_folder);
}

// What an imported model's tokens mean, its own tokenizer says.
TEST_F(HuggingFaceTest, GenerateReadsTheTokenizerThatWasImported) {
  ASSERT_EQ(run({"import", "--from", "hf", "--run", "run"}).status, 0);
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "a"}), 5, "hf-carried/tokenizer.json");
}

TEST_F(HuggingFaceTest, HostileSizesAreRefused) {
  for (const auto& [key, value] : std::map<std::string, std::int64_t>{{"num_hidden_layers", 2147483647}, {"hidden_size", 2147483646}, {"vocab_size", 2147483647}}) {
    const Json config = Json::parse(bytes_of(folder_ / "hf/config.json"));
    change_config(key, value);
    expect_refused(5, key + " = " + std::to_string(value));
    put(folder_ / "hf/config.json", config.dump());
  }
}

TEST_F(HuggingFaceTest, UnsupportedModelsAreRefusedByName) {
  change_config("hidden_act", "gelu");
  expect_refused(5, "hidden_act = \"gelu\"");
  change_config("attention_bias", true);
  expect_refused(5, "attention_bias = true");
  expect_refused(5, "hidden_act = \"gelu\"");  // all at once
  change_config("model_type", "gemma3");
  expect_refused(5, "model_type = \"gemma3\"");
}

// Each is named in one line, once a command, and a run that goes on says no more of it.
TEST_F(HuggingFaceTest, WhatIsPassedOverInAFolderIsToldOnce) {
  change_config("is_llama_config", true);
  put(folder_ / "hf/model.fp16.safetensors", "");
  const auto count = [](const std::string& text, const std::string& part) {
    int found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  };
  for (const auto& [arguments, times] : {std::pair{std::vector<std::string>{"import", "--from", "hf", "--run", "imported"}, 1},
                                         std::pair{std::vector<std::string>{"train", "model.toml"}, 1},
                                         std::pair{std::vector<std::string>{"train", "model.toml", "--set", "train.steps=4"}, 0}}) {
    const Outcome outcome = run(arguments);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(count(outcome.err, "does not read either: is_llama_config"), times) << outcome.err;
    EXPECT_EQ(count(outcome.err, "passed over: model.fp16.safetensors"), times) << outcome.err;
  }
  EXPECT_EQ(Json::parse(bytes_of(folder_ / "imported/hf-carried/config.json"))["is_llama_config"], true);
}

TEST_F(HuggingFaceTest, MalformedFoldersAreRefusedWithFileTensorAndOffset) {
  const fs::path shard = folder_ / "hf/model-00002-of-00002.safetensors";
  const std::string whole = bytes_of(shard);
  put(shard, whole.substr(0, whole.size() - 10));
  expect_refused(5, "model-00002-of-00002.safetensors: tensor ");
  put(shard, whole.substr(0, 100));
  expect_refused(5, "the header's length at offset 0 is ");
  put(shard, whole + "more");
  expect_refused(5, "no tensor holds the bytes from offset " + std::to_string(whole.size()));
  put(shard, whole);
  const fs::path index = folder_ / "hf/model.safetensors.index.json";
  Json json = Json::parse(bytes_of(index));
  json["weight_map"]["model.norm.weight"] = "../../secret";
  put(index, json.dump());
  expect_refused(5, "tensor model.norm.weight: \"../../secret\" is not the name of a file in this folder");
  fs::remove(index);
  expect_refused(5, "neither model.safetensors nor model.safetensors.index.json");
  fs::remove(folder_ / "hf/config.json");
  expect_refused(5, "config.json: No such file or directory");
}

TEST_F(HuggingFaceTest, WrongCallsAreOneLine) {
  expect_one_error_line(run({"import", "--run", "run"}), 2, "--from");
  expect_one_error_line(run({"export", "--to", "out"}), 2, "--run");
  expect_one_error_line(run({"export", "--run", "absent", "--to", "out"}), 4, "there is no such folder");
  ASSERT_EQ(run({"import", "--from", "hf", "--run", "run"}).status, 0);
  expect_one_error_line(run({"import", "--from", "hf", "--run", "run"}), 2, "--overwrite");
  expect_one_error_line(run({"export", "--run", "run", "--to", "hf"}), 2, "it exists and is no empty folder");
  expect_one_error_line(run({"export", "--run", "run", "--to", "out", "--dtype", "fp8"}), 2, "fp8");
  expect_one_error_line(run({"export", "--run", "run", "--to", "out", "--shard-size", "big"}), 2, "big");
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(HuggingFaceTest, AShapeThatTheFolderDoesNotHaveIsRefused) {
  expect_one_error_line(run({"train", "model.toml", "--set", "model.hidden=32"}), 2,
                        "model.hidden = 32: config.json of model.from says 16");
}

}  // namespace
}  // namespace gsnake::test
