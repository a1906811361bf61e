// Fine-tuning as a user calls it: quantize, train beside the base, export, merge; kills, refusals, a base that moves or is damaged.
#include <gmock/gmock.h>
#include <signal.h>

#include <set>

#include "cli/command.h"
#include "cli/files.h"
#include "cli/model_folder.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class AdapterTest : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    put_model(folder_);
    put(folder_ / "tune.toml", R"(
data = { train = ["tokens.bin"], order = "sequential" }
train = { steps = 4, micro_batches = 2, micro_batch_size = 2, sequence_length = 12, dtype = "fp32", compute_threads = 1 }
memory = { host_budget = "64 MiB", device_budget = "64 MiB" }
adapter = { rank = 4, base = "base" }
run = { dir = "run" }
ssd = { paths = ["run/ssd"] }
)");
    const Outcome made = run({"quantize", "--from", "hf", "--to", "base", "--format", "nf4", "--json"});
    ASSERT_EQ(made.status, 0) << made.err;
    id_ = Json::parse(made.out)["id"];
  }
  Outcome tune(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"train", "tune.toml", "--log-level", "warn"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  std::string exported(const std::string& of, const std::string& to) {
    EXPECT_EQ(run({"export", "--run", of, "--to", to}).status, 0);
    return bytes_of(folder_ / to / "adapter_model.safetensors");
  }

  std::string id_;
};

TEST_F(AdapterTest, QuantizeTrainExportMerge) {
  const std::string base = bytes_of(folder_ / "base/base.bin");
  const Outcome trained = tune();
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Json start = metrics().front();
  EXPECT_LT(start["trained_parameters"], start["parameters"]);
  EXPECT_THAT(start["base"].get<std::string>(), HasSubstr("nf4"));
  EXPECT_GT(metrics().at(2)["dequantised_elements"], 0);
  EXPECT_EQ(bytes_of(folder_ / "base/base.bin"), base);
  EXPECT_FALSE(exported("run", "peft").empty());
  EXPECT_TRUE(fs::exists(folder_ / "peft/adapter_config.json"));
  const Outcome merged = run({"export", "--run", "run", "--to", "whole", "--merge", "--json"});
  ASSERT_EQ(merged.status, 0) << merged.err;
  EXPECT_TRUE(fs::exists(folder_ / "whole/tokenizer.json"));
  EXPECT_EQ(run({"import", "--from", "whole", "--run", "again"}).status, 0);  // a whole model, as any other
  // What was exported goes on where it stopped.
  const Outcome further = tune({"--set", "run.dir=further", "--set", "ssd.paths=further/ssd", "--set", "adapter.from=peft", "--set", "optimizer.learning_rate=0.0", "--set", "train.steps=1"});
  ASSERT_EQ(further.status, 0) << further.err;
  EXPECT_EQ(exported("further", "same"), bytes_of(folder_ / "peft/adapter_model.safetensors"));
}

TEST_F(AdapterTest, AKillAtAnyStepGoesOnWithTheSameBits) {
  ASSERT_EQ(tune({"--set", "run.dir=whole", "--set", "ssd.paths=whole/ssd", "--set", "train.steps=12"}).status, 0);
  {
    Process process(folder_, "killed", {"train", "tune.toml", "--set", "train.steps=12", "--set", "emulate.compute=2e7"});
    wait_for_steps(process, 3);
    process.signal(SIGKILL);
    process.wait();
  }
  const Outcome resumed = tune({"--resume", "must", "--set", "train.steps=12"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(losses(), losses("whole"));
  EXPECT_EQ(exported("run", "one"), exported("whole", "other"));
}

TEST_F(AdapterTest, AMovedRunFindsItsBaseAndAnotherIsRefused) {
  ASSERT_EQ(tune().status, 0);
  fs::create_directory(folder_ / "there");
  for (const char* name : {"base", "run"}) fs::rename(folder_ / name, folder_ / "there" / name);
  const Outcome moved = tune({"--resume", "must", "--set", "run.dir=there/run", "--set", "ssd.paths=there/run/ssd", "--set", "train.steps=5"});
  EXPECT_EQ(moved.status, 0) << moved.err;
  // Other weights at the same place.
  fs::remove_all(folder_ / "there/base");
  ASSERT_EQ(run({"quantize", "--from", "hf", "--to", "there/base", "--format", "int8"}).status, 0);
  const std::vector<std::string> settings{"--resume", "must", "--set", "run.dir=there/run", "--set", "ssd.paths=there/run/ssd", "--set", "train.steps=6", "--set", "adapter.base=there/base"};
  expect_one_error_line(tune(settings), 2, id_);
  expect_one_error_line(run({"export", "--run", "there/run", "--to", "merged", "--merge"}), 2, id_);
  EXPECT_FALSE(fs::exists(folder_ / "merged"));
}

TEST_F(AdapterTest, ADamagedBaseEndsTheRunAndNamesThePlace) {
  std::string bytes = bytes_of(folder_ / "base/base.bin");
  bytes[bytes.size() / 2] = static_cast<char>(~bytes[bytes.size() / 2]);
  put(folder_ / "base/base.bin", bytes);
  for (const char* verify : {"always", "resume"}) {
    const Outcome trained = tune({"--set", std::string("ssd.verify=") + verify, "--set", std::string("run.dir=") + verify, "--set", std::string("ssd.paths=") + verify + "/ssd"});
    EXPECT_EQ(trained.status, 4) << verify;
    EXPECT_THAT(trained.err, HasSubstr("base.bin")) << verify;
    EXPECT_THAT(trained.err, HasSubstr("gsnake quantize")) << verify;
  }
}

TEST_F(AdapterTest, WhatCannotBeIsRefused) {
  const std::vector<std::string> before = files();
  expect_one_error_line(tune({"--set", "adapter.targets=[\"nothing\"]"}), 2, "adapter.targets");
  expect_one_error_line(tune({"--set", "adapter.rank=0"}), 2, "adapter.base");
  expect_one_error_line(tune({"--set", "adapter.base=elsewhere"}), 2, "gsnake quantize");
  expect_one_error_line(tune({"--set", "adapter.from=hf"}), 5, "adapter_config.json");
  expect_one_error_line(run({"quantize", "--from", "hf", "--to", "base"}), 2, "base");
  expect_one_error_line(run({"quantize", "--from", "hf", "--to", "other", "--format", "fp8"}), 2, "nf4");
  expect_one_error_line(run({"quantize", "--to", "other"}), 2, "--from");
  EXPECT_EQ(files(), before);
}

TEST_F(AdapterTest, InspectSaysWhatABaseIs) {
  const Outcome asked = run({"inspect", "base", "--json"});
  ASSERT_EQ(asked.status, 0) << asked.err;
  const Json base = Json::parse(asked.out);
  EXPECT_EQ(base["id"], id_);
  EXPECT_EQ(base["format"], "nf4");
  EXPECT_EQ(base["source"], (folder_ / "hf").string());
  const Json config = Json::parse(bytes_of(folder_ / "hf/config.json"));
  EXPECT_EQ(base["model"]["family"], "llama");
  EXPECT_EQ(base["model"]["layers"], config["num_hidden_layers"]);
  EXPECT_EQ(base["model"]["vocab"], config["vocab_size"]);
  EXPECT_EQ(base["bytes"], fs::file_size(folder_ / "base/base.bin"));
  EXPECT_EQ(base["hashed_blocks"], fs::file_size(folder_ / "base/base.hashes") / 8);
  const std::uint64_t vocab = config["vocab_size"];
  const std::uint64_t hidden = config["hidden_size"];
  std::uint64_t parameters = 0;
  for (const Json& part : base["parts"]) {
    const std::uint64_t own = part["parameters"];
    parameters += own;
    if (part["part"] == "blocks") {
      EXPECT_EQ(part["format"], "nf4");
    }
    if (part["part"] == "embeddings") {
      EXPECT_EQ(part["format"], "bf16");
      EXPECT_EQ(own, 2 * vocab * hidden);
      EXPECT_EQ(part["bytes"], 2 * own);
    }
    if (part["part"] == "vectors") {
      EXPECT_EQ(part["format"], "fp32");
      EXPECT_EQ(own, (2 * config["num_hidden_layers"].get<std::uint64_t>() + 1) * hidden);
    }
  }
  EXPECT_EQ(base["parts"].size(), 3U);
  EXPECT_EQ(base["parameters"], parameters);
  std::set<std::string> names;
  for (const Json& file : base["files"]) {
    names.insert(file["file"].get<std::string>());
    EXPECT_EQ(file["bytes"], fs::file_size(folder_ / "base" / file["file"].get<std::string>()));
  }
  EXPECT_EQ(names, (std::set<std::string>{"base.bin", "base.hashes", "base.json", "config.json", "tokenizer.json"}));
  EXPECT_EQ(base["tokenizer"], true);
  EXPECT_FALSE(base.contains("verified")) << "nobody asked";

  const std::string text = run({"inspect", "base"}).out;
  for (const std::string& part : {id_, std::to_string(parameters) + " parameters", std::string("nf4"), std::string("bf16"), std::string("tokenizer.json")}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, testing::Not(HasSubstr("no tokenizer.json")));
}

TEST_F(AdapterTest, InspectSaysWhereABaseLacksATokenizerOrHasOtherEmbeddings) {
  fs::remove(folder_ / "hf/tokenizer.json");
  ASSERT_EQ(run({"quantize", "--from", "hf", "--to", "other", "--format", "int8", "--embeddings", "mxfp4"}).status, 0);
  const Json base = Json::parse(run({"inspect", "other", "--json"}).out);
  EXPECT_EQ(base["tokenizer"], false);
  for (const Json& part : base["parts"]) EXPECT_EQ(part["format"], part["part"] == "blocks" ? "int8" : part["part"] == "embeddings" ? "mxfp4" : "fp32");
  EXPECT_THAT(run({"inspect", "other"}).out, HasSubstr("no tokenizer.json"));
}

TEST_F(AdapterTest, InspectVerifiesABaseByItsHashes) {
  const Outcome whole = run({"inspect", "base", "--verify", "--json"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  EXPECT_EQ(Json::parse(whole.out)["verified"], true);
  EXPECT_EQ(Json::parse(whole.out)["verified_bytes"], fs::file_size(folder_ / "base/base.bin"));
  EXPECT_THAT(run({"inspect", "base", "--verify"}).out, HasSubstr("agrees with its hash"));
  std::string bytes = bytes_of(folder_ / "base/base.bin");
  bytes[bytes.size() - 1] = static_cast<char>(~bytes[bytes.size() - 1]);
  put(folder_ / "base/base.bin", bytes);
  EXPECT_EQ(run({"inspect", "base"}).status, 0) << "what is not read is not known to be damaged";
  expect_one_error_line(run({"inspect", "base", "--verify"}), 4, "base.bin");
  bytes.resize(bytes.size() / 2);
  put(folder_ / "base/base.bin", bytes);
  expect_one_error_line(run({"inspect", "base"}), 4, "base.bin");
}

TEST_F(AdapterTest, InspectRefusesWhatIsNoBaseOfThisBuild) {
  expect_one_error_line(run({"inspect", "base", "--ssd", "elsewhere"}), 2, "--ssd");
  Json manifest = Json::parse(bytes_of(folder_ / "base/base.json"));
  manifest["format"] = "int8";  // the id is no longer that of what it says
  put(folder_ / "base/base.json", manifest.dump());
  expect_one_error_line(run({"inspect", "base"}), 4, id_);
  manifest["version"] = 2;
  put(folder_ / "base/base.json", manifest.dump());
  expect_one_error_line(run({"inspect", "base"}), 5, "version 2");
}

// Nothing of an adapter's folder is dropped in silence, and what was trained whole comes in.
TEST_F(AdapterTest, ModulesThatWereTrainedWholeComeInWithTheirAdapter) {
  ASSERT_EQ(tune({"--set", "adapter.train_whole=[\"norm\"]"}).status, 0);
  exported("run", "peft");
  const std::vector<std::string> on{"--set", "run.dir=further", "--set", "ssd.paths=further/ssd", "--set", "adapter.from=peft", "--set", "optimizer.learning_rate=0.0", "--set", "train.steps=1"};
  std::vector<std::string> with = on;
  with.insert(with.end(), {"--set", "adapter.train_whole=[\"norm\"]"});
  ASSERT_EQ(tune(with).status, 0);
  EXPECT_EQ(exported("further", "same"), bytes_of(folder_ / "peft/adapter_model.safetensors"));
  fs::remove_all(folder_ / "further");
  expect_one_error_line(tune(on), 5, "adapter.train_whole");
}

}  // namespace
}  // namespace gsnake::test
