// What was imported is exported bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "hf/shard_writer.h"
#include "hf/weights_folder.h"
#include "parity/imported_run.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using hf::Dtype;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::array kDtypes{std::pair{"fp32", Dtype::fp32}, std::pair{"bf16", Dtype::bf16}, std::pair{"fp16", Dtype::fp16}};

// Every finite pattern but that of the largest magnitudes, which the run's dtype may not hold: denormals and both zeros too.
std::string random_values(Dtype dtype, std::size_t count, std::mt19937_64& random) {
  const std::size_t width = hf::size_of(dtype);
  std::string bytes(count * width, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t bits = random();
    if (random() % 16 == 0) bits &= 1ULL << 31U | 1ULL << 15U;  // zero
    if (dtype == Dtype::fp16) {
      if ((bits & 0x7C00U) >= 0x7800U) bits &= ~0x4000ULL;
    } else {
      // Below 2^15: fp16 runs hold what they are given.
      std::uint64_t word = dtype == Dtype::fp32 ? bits & 0xFFFFFFFFU : (bits & 0xFFFFU) << 16U;
      if ((word & 0x7F800000U) >= 0x47000000U) word &= ~0x40000000ULL;
      bits = dtype == Dtype::fp32 ? word : word >> 16U;
    }
    std::memcpy(&bytes[i * width], &bits, width);
  }
  return bytes;
}

// A folder of the fixture's shape with random weights.
void make_folder(const std::string& family, Dtype dtype, bool tied, bool sharded, const std::string& to) {
  const hf::WeightsFolder like(fixture(family));
  nlohmann::json config = nlohmann::json::parse(read_file(fixture(family) + "/config.json"));
  config["tie_word_embeddings"] = tied;
  const bool is_gpt2 = family == "gpt2";
  std::vector<hf::Tensor> tensors;
  for (const auto& [name, source] : like.tensors()) {
    if (name != "lm_head.weight") tensors.push_back({name, hf::name_of(dtype), source.tensor.shape, 0, 0});
  }
  if (!tied)
    tensors.push_back({"lm_head.weight", hf::name_of(dtype),
                       like.find(is_gpt2 ? "transformer.wte.weight" : "model.embed_tokens.weight")->tensor.shape, 0, 0});
  hf::ShardWriter writer(to, tensors, sharded ? 5000 : 1'000'000);
  std::mt19937_64 random(7);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::size_t count = 1;
    for (const std::uint64_t size : tensors[i].shape) count *= size;
    const std::string values = random_values(dtype, count, random);
    writer.write(i, 0, std::as_bytes(std::span(values)));
  }
  writer.write_file("config.json", config.dump());
  writer.write_file("tokenizer.json", "{\"a\": 1}");
  writer.write_file("generation_config.json", "{}");
  writer.write_file("README.md", "not carried");
  writer.finish();
}

std::map<std::string, std::string> bytes_of(const std::string& folder) {
  const hf::WeightsFolder opened(folder);
  std::map<std::string, std::string> all;
  for (const auto& [name, source] : opened.tensors()) {
    const char* data = reinterpret_cast<const char*>(source.file->bytes().data()) + source.tensor.offset;
    all[name] = source.tensor.dtype + hf::shape_text(source.tensor.shape) + std::string(data, source.tensor.bytes);
  }
  return all;
}

void import_from(const std::string& from, const std::string& dtype, const TempFolder& folder, bool overwrite = false) {
  const Config config = config_of(from, dtype, folder);
  import_model(models::make(config.model), config, {overwrite, {}});
}

class RoundTrip : public testing::TestWithParam<const char*> {};

TEST_P(RoundTrip, GivesBackEveryTensor) {
  for (const auto& [name, dtype] : kDtypes) {
    for (const bool tied : {false, true}) {
      for (const bool sharded : {false, true}) {
        const TempFolder folder;
        make_folder(GetParam(), dtype, tied, sharded, folder / "hf");
        import_from(folder / "hf", name, folder);
        ExportOptions options;
        options.shard_bytes = sharded ? 6000 : 1'000'000;
        const TransferReport report = export_run(folder / "run", folder / "out", options);
        EXPECT_EQ(report.files > 1, sharded);
        EXPECT_EQ(bytes_of(folder / "out"), bytes_of(folder / "hf"))
            << GetParam() << " " << name << (tied ? " tied" : "") << (sharded ? " sharded" : "");
        EXPECT_EQ(read_file(folder / "out/tokenizer.json"), "{\"a\": 1}");
        EXPECT_TRUE(fs::exists(folder / "out/generation_config.json"));
        EXPECT_FALSE(fs::exists(folder / "out/README.md"));
      }
    }
  }
}

// fp32 gives the masters, which hold every 16-bit weight and, in a bf16 run, every fp32 weight exactly.
TEST_P(RoundTrip, ThroughARunOfAnotherDtypeGivesBackTheSameValues) {
  for (const auto& [file, run] : {std::pair{"bf16", "fp32"}, std::pair{"fp16", "bf16"}, std::pair{"fp32", "bf16"},
                                  std::pair{"fp32", "fp16"}, std::pair{"bf16", "fp16"}}) {
    const TempFolder folder;
    const Dtype dtype = choice_of<Dtype>(file).value();
    make_folder(GetParam(), dtype, false, false, folder / "hf");
    import_from(folder / "hf", run, folder);
    ExportOptions options;
    options.dtype = dtype;
    export_run(folder / "run", folder / "out", options);
    EXPECT_EQ(bytes_of(folder / "out"), bytes_of(folder / "hf")) << GetParam() << " " << file << " through " << run;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, RoundTrip, testing::ValuesIn(kFamilies),
                         [](const auto& instance) { return std::string(instance.param); });

class Import : public testing::Test {
 protected:
  std::string refusal(const std::string& from) {
    try {
      import_from(from, "fp32", folder_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      EXPECT_FALSE(fs::exists(folder_ / "run"));
      EXPECT_FALSE(fs::exists(folder_ / "ssd"));
      return error.what();
    }
    return "accepted";
  }
  static std::string refusal_in_fresh(const std::string& from) {
    const TempFolder fresh;
    try {
      import_from(from, "fp32", fresh);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
  // The fixture's folder with one tensor changed, left out or added.
  void copy(const std::string& family, const std::string& to, const std::function<void(std::vector<hf::Tensor>&)>& change,
            float value = 0.5F) {
    const hf::WeightsFolder like(fixture(family));
    std::vector<hf::Tensor> tensors;
    for (const auto& [name, source] : like.tensors()) tensors.push_back({name, "F32", source.tensor.shape, 0, 0});
    change(tensors);
    hf::ShardWriter writer(to, tensors, 1'000'000);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      std::size_t count = 1;
      for (const std::uint64_t size : tensors[i].shape) count *= size;
      const std::vector<float> values(count, value);
      std::vector<std::uint16_t> halves(count);  // bf16: the upper half of a float
      for (std::uint16_t& half : halves) half = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16U);
      writer.write(i, 0, tensors[i].dtype == "BF16" ? std::as_bytes(std::span(halves)) : std::as_bytes(std::span(values)));
    }
    writer.write_file("config.json", read_file(fixture(family) + "/config.json"));
    writer.finish();
  }

  TempFolder folder_;
};

TEST_F(Import, RefusesTensorsThatAreMissingLeftOverOrOfAnotherShape) {
  copy("llama", folder_ / "missing",
       [](auto& tensors) { std::erase_if(tensors, [](const auto& t) { return t.name == "model.layers.1.mlp.up_proj.weight"; }); });
  EXPECT_THAT(refusal(folder_ / "missing"), HasSubstr("tensor model.layers.1.mlp.up_proj.weight is missing"));
  copy("llama", folder_ / "extra", [](auto& tensors) { tensors.push_back({"model.extra.weight", "F32", {2}, 0, 0}); });
  EXPECT_THAT(refusal(folder_ / "extra"), HasSubstr("tensor model.extra.weight at offset"));
  copy("llama", folder_ / "shape", [](auto& tensors) { tensors[0].shape = {tensors[0].shape[1], tensors[0].shape[0]}; });
  EXPECT_THAT(refusal(folder_ / "shape"), HasSubstr("its shape is (16, 48), the model's is (48, 16)"));
}

TEST_F(Import, RefusesValuesThatAreNotFiniteWithTheirOffset) {
  copy(
      "llama", folder_ / "hf", [](auto&) {}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(refusal(folder_ / "hf"), HasSubstr("tensor model.embed_tokens.weight: the value nan at offset"));
}

// As the first GPT-2 was published: no prefix, masks among the weights.
TEST_F(Import, TakesAFolderOfTheModelWithoutItsHead) {
  copy("gpt2", folder_ / "hf", [](auto& tensors) {
    for (auto& tensor : tensors) tensor.name = tensor.name.substr(std::string("transformer.").size());
    tensors.push_back({"h.0.attn.bias", "F32", {1, 1, 32, 32}, 0, 0});
  });
  import_from(folder_ / "hf", "fp32", folder_);
  export_run(folder_ / "run", folder_ / "out");
  EXPECT_TRUE(bytes_of(folder_ / "out").contains("transformer.h.1.mlp.c_fc.weight"));
}

TEST_F(Import, ATiedHeadOfItsOwnMustBeTheEmbedding) {
  const auto with_head = [](auto& tensors) { tensors.push_back({"lm_head.weight", "F32", {48, 16}, 0, 0}); };
  copy("qwen2", folder_ / "same", with_head);
  import_from(folder_ / "same", "fp32", folder_);
  copy("qwen2", folder_ / "other", with_head);
  std::string bytes = read_file(folder_ / "other/model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(folder_ / "other/model.safetensors", bytes);
  const TempFolder fresh;
  EXPECT_THROW(import_from(folder_ / "other", "fp32", fresh), Error);
}

TEST_F(Import, ATiedHeadMayHaveAnotherDtypeButNoOtherValues) {
  const auto with_head = [](auto& tensors) { tensors.push_back({"lm_head.weight", "BF16", {48, 16}, 0, 0}); };
  copy("qwen2", folder_ / "same", with_head, 0.5F);
  import_from(folder_ / "same", "fp32", folder_);
  copy("qwen2", folder_ / "rounded", with_head, 0.1F);
  EXPECT_THAT(refusal_in_fresh(folder_ / "rounded"), AllOf(HasSubstr("tensor lm_head.weight (BF16) at offset"), HasSubstr("differs from model.embed_tokens.weight (F32)")));
}

// safetensors' save_model() keeps one name of two that share their memory.
TEST_F(Import, ATiedEmbeddingMayBeThereAsTheHeadAlone) {
  copy("qwen2", folder_ / "hf", [](auto& tensors) {
    for (auto& tensor : tensors) tensor.name = tensor.name == "model.embed_tokens.weight" ? "lm_head.weight" : tensor.name;
  });
  import_from(folder_ / "hf", "fp32", folder_);
  export_run(folder_ / "run", folder_ / "out");
  EXPECT_TRUE(bytes_of(folder_ / "out").contains("model.embed_tokens.weight"));
}

// As torch.compile, DistributedDataParallel and trainers' modules name them.
TEST_F(Import, LeavesOutWhatAWrapperPutInFrontOfEveryName) {
  for (const char* prefix : {"_orig_mod.", "module.", "model.", "module._orig_mod.", "base_model.model."}) {
    const TempFolder folder;
    copy("llama", folder / "hf", [&](auto& tensors) {
      for (auto& tensor : tensors) tensor.name = prefix + tensor.name;
    });
    import_from(folder / "hf", "fp32", folder);
    export_run(folder / "run", folder / "out");
    EXPECT_TRUE(bytes_of(folder / "out").contains("model.layers.1.mlp.up_proj.weight")) << prefix;
  }
  copy("gpt2", folder_ / "hf", [&](auto& tensors) {
    for (auto& tensor : tensors) tensor.name = "module." + tensor.name.substr(std::string("transformer.").size());
  });
  import_from(folder_ / "hf", "fp32", folder_);
  copy("llama", folder_ / "half", [&](auto& tensors) { tensors[0].name = "module." + tensors[0].name; });
  EXPECT_THAT(refusal_in_fresh(folder_ / "half"), HasSubstr("tensor "));
}

TEST_F(Import, SaysWhyATensorIsMissing) {
  const auto rename = [](const std::string& from, const std::string& to) {
    return [from, to](auto& tensors) {
      for (auto& tensor : tensors) {
        if (tensor.name.ends_with(from)) tensor.name = tensor.name.substr(0, tensor.name.size() - from.size()) + to;
      }
    };
  };
  copy("llama", folder_ / "head", [](auto& tensors) { std::erase_if(tensors, [](const auto& t) { return t.name == "lm_head.weight"; }); });
  EXPECT_THAT(refusal(folder_ / "head"), HasSubstr("tensor lm_head.weight is missing, which the model needs: the model was saved without its head"));
  copy("llama", folder_ / "quantized", rename(".q_proj.weight", ".q_proj.qweight"));
  EXPECT_THAT(refusal(folder_ / "quantized"), HasSubstr("model.layers.0.self_attn.q_proj.qweight is quantized"));
  copy("llama", folder_ / "adapter", rename(".q_proj.weight", ".q_proj.base_layer.weight"));
  EXPECT_THAT(refusal(folder_ / "adapter"), HasSubstr("q_proj.base_layer.weight is of a model with an adapter"));
  copy("llama", folder_ / "other", rename("embed_tokens.weight", "wte.weight"));
  EXPECT_THAT(refusal(folder_ / "other"), HasSubstr("tensor model.embed_tokens.weight is missing, which the model needs; there: lm_head.weight and others"));
}

TEST_F(Import, ReplacesARunOnlyWhenAskedTo) {
  import_from(fixture("llama"), "fp32", folder_);
  EXPECT_THROW(import_from(fixture("gpt2"), "fp32", folder_), Error);
  EXPECT_EQ(run_config(folder_ / "run").model.family, ModelFamily::llama);
  import_from(fixture("gpt2"), "fp32", folder_, true);
  EXPECT_EQ(run_config(folder_ / "run").model.family, ModelFamily::gpt2);
}

TEST_F(Import, ThatWasNotTrainedYetGoesOnWithOtherSettingsButNotOtherStorage) {
  import_from(fixture("llama"), "fp32", folder_);
  const auto train = [&](const std::vector<std::string>& more) {
    const Config config = config_of(fixture("llama"), "fp32", folder_, more);
    Trainer trainer(models::make(config.model), config, {Resume::must, false, {}, {}, {}});
    return trainer.completed_steps();
  };
  EXPECT_THROW(train({"train.dtype=bf16"}), Error);
  EXPECT_THROW(train({"optimizer.name=lion"}), Error);
  EXPECT_THROW(train({"optimizer.moments=bf16"}), Error);
  EXPECT_EQ(train({"train.seed=9", "train.micro_batches=3", "optimizer.learning_rate=0.1", "train.sequence_length=8"}), 0);
}

TEST_F(Import, StopsWhereItIsToldToAndLeavesNothing) {
  const Config config = config_of(fixture("llama"), "fp32", folder_);
  ImportOptions options;
  options.progress = [](std::uint64_t, std::uint64_t) { throw std::runtime_error("enough"); };
  EXPECT_THROW(import_model(models::make(config.model), config, options), std::runtime_error);
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  EXPECT_FALSE(fs::exists(folder_ / "ssd"));
}

TEST_F(Import, ARunThatNeverCommitsKeepsNothingOfTheFolder) {
  const Config config = config_of(fixture("llama"), "fp32", folder_);
  { const Trainer trainer(models::make(config.model), config); }
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(Import, WorksWithoutTheFolderOnceItIsDone) {
  make_folder("qwen3", Dtype::bf16, false, false, folder_ / "hf");
  import_from(folder_ / "hf", "bf16", folder_);
  const auto expected = bytes_of(folder_ / "hf");
  fs::remove_all(folder_ / "hf");
  export_run(folder_ / "run", folder_ / "out");
  EXPECT_EQ(bytes_of(folder_ / "out"), expected);
}

class Export : public Import {};

TEST_F(Export, RefusesWhatFp16CannotHoldAndTargetsThatExist) {
  copy(
      "llama", folder_ / "hf", [](auto&) {}, 1e6F);
  import_from(folder_ / "hf", "fp32", folder_);
  ExportOptions options;
  options.dtype = Dtype::fp16;
  EXPECT_THROW(export_run(folder_ / "run", folder_ / "out", options), Error);
  EXPECT_THROW(export_run(folder_ / "run", folder_ / "hf"), Error);
  EXPECT_THROW(export_run(folder_ / "absent", folder_ / "out"), Error);
  for (const char* left : {"out", "out.gsnake-partial", "hf.gsnake-partial"}) EXPECT_FALSE(fs::exists(folder_ / left)) << left;
}

TEST_F(Export, OfARunThatIsBeingTrainedIsOfItsLastCommit) {
  const Config config = config_of(fixture("llama"), "fp32", folder_);
  const std::vector<Batch> batches = fixture_batches(config);
  Trainer trainer(models::make(config.model), config);
  for (int step = 0; step < 3; ++step) trainer.step(batches[static_cast<std::size_t>(step)]);
  trainer.commit();
  const TransferReport report = export_run(folder_ / "run", folder_ / "out");
  EXPECT_EQ(report.step, 3);
  for (int step = 3; step < 5; ++step) trainer.step(batches[static_cast<std::size_t>(step)]);
  trainer.commit();
  EXPECT_EQ(export_run(folder_ / "run", folder_ / "later").step, 5);
  EXPECT_NE(bytes_of(folder_ / "out"), bytes_of(folder_ / "later"));
  // What was exported is a model to start from.
  import_from(folder_ / "later", "fp32", *std::make_unique<TempFolder>());
}

TEST_F(Export, FindsBytesThatTheDriveChanged) {
  import_from(fixture("llama"), "fp32", folder_);
  {
    std::fstream file(folder_ / "ssd/gsnake-weights.bin", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100);
    file.put('\x7f');
  }
  try {
    export_run(folder_ / "run", folder_ / "out");
    FAIL() << "it was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
  }
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

}  // namespace
}  // namespace gsnake::test
