// A folder of shards is one set of tensors, or is refused.
#include "hf/weights_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"
#include "hf/logged.h"
#include "hf/shard_writer.h"
#include "hf/temp_folder.h"

namespace gsnake::hf {
namespace {

using test::TempFolder;
using test::write_file;
using testing::HasSubstr;

std::string safetensors(const std::vector<std::string>& names) {
  std::vector<Tensor> tensors;
  for (const std::string& name : names) tensors.push_back({name, "F32", {2}, 0, 0});
  return make_safetensors_header(tensors) + std::string(8 * names.size(), '\1');
}

std::string refusal(const std::string& folder) {
  try {
    const WeightsFolder opened(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "accepted";
}

TEST(WeightsFolder, ReadsTheFilesThatAnIndexNames) {
  const TempFolder folder;
  write_file(folder / "a.safetensors", safetensors({"x"}));
  write_file(folder / "b.safetensors", safetensors({"y", "z"}));
  write_file(folder / kIndexName, R"({"metadata": {}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "b.safetensors"}})");
  const WeightsFolder opened(folder.path());
  EXPECT_EQ(opened.tensors().size(), 3U);
  EXPECT_EQ(opened.find("z")->file->path(), folder / "b.safetensors");
  EXPECT_EQ(opened.find("w"), nullptr);
}

// As transformers. An earlier save may have left the index, with its parts or without.
TEST(WeightsFolder, TakesASingleFileBeforeAnIndexAndNamesWhatItPassesOver) {
  for (const bool has_parts : {true, false}) {
    const TempFolder folder;
    write_file(folder / kIndexName, R"({"weight_map": {"old": "model-00001-of-00001.safetensors"}})");
    if (has_parts) write_file(folder / "model-00001-of-00001.safetensors", safetensors({"old"}));
    write_file(folder / kSingleName, safetensors({"new"}));
    write_file(folder / "config.json", "{}");
    const test::Logged log;
    const WeightsFolder opened(folder.path());
    EXPECT_NE(opened.find("new"), nullptr);
    EXPECT_EQ(opened.find("old"), nullptr);
    EXPECT_EQ(log.text(), folder.path() + ": the weights are read from model.safetensors, as transformers does; passed over: " +
                              (has_parts ? "model-00001-of-00001.safetensors, " : "") + "model.safetensors.index.json\n");
  }
}

TEST(WeightsFolder, NamesEveryOtherFileOfWeightsInOneLine) {
  const TempFolder folder;
  write_file(folder / "a.safetensors", safetensors({"x"}));
  write_file(folder / kIndexName, R"({"weight_map": {"x": "a.safetensors"}})");
  {
    const test::Logged log;
    const WeightsFolder opened(folder.path());
    EXPECT_EQ(log.text(), "");
  }
  for (const char* name :
       {"consolidated.safetensors", "model.fp16.safetensors", "model-00003-of-00004.safetensors", "pytorch_model.bin", "tokenizer.json"})
    write_file(folder / name, "");
  std::filesystem::create_symlink("nowhere", folder / kSingleName);
  const test::Logged log;
  const WeightsFolder opened(folder.path());
  EXPECT_EQ(opened.tensors().size(), 1U);
  EXPECT_EQ(log.text(),
            folder.path() +
                ": the weights are read from model.safetensors.index.json, as transformers does; passed over: consolidated.safetensors, "
                "model-00003-of-00004.safetensors, model.fp16.safetensors, model.safetensors, pytorch_model.bin\n");
}

TEST(WeightsFolder, RefusesAnAdapterBesideTheWeights) {
  const TempFolder folder;
  write_file(folder / kSingleName, safetensors({"x"}));
  write_file(folder / "adapter_config.json", "{}");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("adapter_config.json: an adapter, which changes what its model computes; merge the two"));
}

TEST(WeightsFolder, RefusesWhatTheIndexAndTheFilesDisagreeOn) {
  const TempFolder folder;
  const auto index = [&](const std::string& map) { write_file(folder / kIndexName, "{\"weight_map\": " + map + "}"); };
  write_file(folder / "a.safetensors", safetensors({"x"}));
  index(R"({"x": "absent.safetensors"})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("tensor x: its file absent.safetensors is missing"));
  index(R"({"x": "a.safetensors", "y": "a.safetensors"})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("tensor y is not in a.safetensors"));
  write_file(folder / "b.safetensors", safetensors({"y", "z"}));
  index(R"({"x": "a.safetensors", "y": "b.safetensors"})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("tensor z at offset"));
  write_file(folder / "b.safetensors", safetensors({"x", "y"}));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("is in " + (folder / "a.safetensors") + " as well"));
}

TEST(WeightsFolder, RefusesPathsThatLeaveTheFolder) {
  const TempFolder folder;
  for (const char* name : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", "", "a\\\\b", "a\\u0000b"}) {
    write_file(folder / kIndexName, std::string(R"({"weight_map": {"x": ")") + name + "\"}}");
    EXPECT_THAT(refusal(folder.path()), HasSubstr("tensor x: \"")) << name;
  }
  for (const char* text : {"{}", "{\"weight_map\": {}}", "{\"weight_map\": 3}", "{\"weight_map\": {\"x\": 3}}"}) {
    write_file(folder / kIndexName, text);
    EXPECT_THAT(refusal(folder.path()), HasSubstr(kIndexName)) << text;
  }
}

TEST(WeightsFolder, SaysWhatAFolderWithoutSafetensorsHolds) {
  const TempFolder folder;
  write_file(folder / "config.json", "{}");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("neither model.safetensors nor"));
  EXPECT_THAT(refusal(folder / "absent"), HasSubstr("no such folder"));
  write_file(folder / "pytorch_model.bin", "");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("save_pretrained()"));
  write_file(folder / "model.fp16.safetensors", "");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("but model.fp16.safetensors; if that is the whole model"));
  write_file(folder / "model-00001-of-00002.safetensors", "");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("parts are read by their index; download that too"));
  write_file(folder / "model.safetensors", "");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("0 bytes"));
}

std::vector<Tensor> three() { return {{"a", "F32", {4}, 0, 0}, {"b", "BF16", {2, 3}, 0, 0}, {"c", "F32", {1}, 0, 0}}; }

void fill(ShardWriter& writer) {
  writer.write(2, 0, std::as_bytes(std::span("cccc", 4)));
  writer.write(0, 8, std::as_bytes(std::span("22222222", 8)));
  writer.write(0, 0, std::as_bytes(std::span("11111111", 8)));
  writer.write(1, 0, std::as_bytes(std::span("bbbbbbbbbbbb", 12)));
}

TEST(ShardWriter, WhatItWritesIsReadInOneFileAndInSeveral) {
  for (const std::uint64_t most : {1'000ULL, 16ULL, 1ULL}) {
    const TempFolder folder;
    ShardWriter writer(folder / "out", three(), most);
    fill(writer);
    EXPECT_FALSE(std::filesystem::exists(folder / "out"));
    writer.finish();
    const WeightsFolder opened(folder / "out");
    EXPECT_EQ(std::filesystem::exists(folder / "out/model.safetensors"), most == 1'000U);
    const TensorSource* a = opened.find("a");
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(a->file->bytes().data()) + a->tensor.offset, 16), "1111111122222222");
    EXPECT_EQ(writer.bytes(), 32U);
    EXPECT_FALSE(std::filesystem::exists(folder / "out.gsnake-partial"));
  }
}

TEST(ShardWriter, LeavesNothingUnlessItIsFinished) {
  const TempFolder folder;
  { ShardWriter(folder / "out", three(), 100); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ShardWriter, TakesOverWhatAKilledOneLeftAndRefusesALivingOnes) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "out.gsnake-partial");
  write_file(folder / "out.gsnake-partial/half", "written");
  ShardWriter first(folder / "out", three(), 100);
  EXPECT_FALSE(std::filesystem::exists(folder / "out.gsnake-partial/half"));
  EXPECT_THROW(ShardWriter(folder / "out", three(), 100), Error);
  first.finish();
  EXPECT_TRUE(std::filesystem::exists(folder / "out/model.safetensors"));
}

TEST(ShardWriter, RefusesATargetThatHoldsSomething) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "empty");
  ShardWriter(folder / "empty", three(), 100).finish();
  EXPECT_THROW(ShardWriter(folder / "empty/", three(), 100), Error);
  write_file(folder / "file", "");
  EXPECT_THROW(ShardWriter(folder / "file", three(), 100), Error);
  EXPECT_THROW(ShardWriter(folder / "absent/out", three(), 100), Error);
}

}  // namespace
}  // namespace gsnake::hf
