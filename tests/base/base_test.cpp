// What is written comes back, what is damaged is found, and what was not finished leaves nothing.
#include "base/base.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <thread>

#include "base/writer.h"
#include "greedysnake/error.h"
#include "temporary_folder.h"
#include "thrown.h"

namespace gsnake::base {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using gsnake::test::message_of;
namespace fs = std::filesystem;

BaseKind kind_of(std::vector<BaseTensor> tensors) {
  BaseKind kind{std::move(tensors), 0};
  lay_out(kind);
  return kind;
}

// An embedding, two blocks of one kind that span several hash blocks, a head without a parameter of its own, and a last one.
BaseManifest sample_manifest() {
  BaseManifest manifest;
  manifest.format = "nf4";
  manifest.model = {{"model_type", "llama"}, {"rms_norm_eps", 1e-5}, {"hidden_size", 64}};
  manifest.kinds = {kind_of({{"weight", {1000, 64}, "bf16", 0, 128000}}),
                    kind_of({{"attention.weight", {512, 512}, "nf4", 0, 147456},
                             {"norm.weight", {13}, "fp32", 0, 52},
                             {"mlp.weight", {64, 700}, "int8", 0, 45501}}),
                    kind_of({}), kind_of({{"norm.weight", {3}, "fp32", 0, 12}})};
  manifest.units = {0, 1, 1, 2, 3};
  manifest.source = "a model made up for a test";
  return manifest;
}

std::vector<std::byte> values_of(int unit, std::size_t tensor, std::uint64_t bytes) {
  std::mt19937_64 random(1000 * static_cast<std::uint64_t>(unit) + tensor);
  std::vector<std::byte> values(bytes);
  for (std::byte& value : values) value = static_cast<std::byte>(random());
  return values;
}

void write_tensors(BaseWriter& writer, const BaseManifest& manifest, std::size_t piece_bytes) {
  for (int unit = 0; unit < static_cast<int>(manifest.units.size()); ++unit) {
    const std::vector<BaseTensor>& tensors = manifest.kind_of(unit).tensors;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::vector<std::byte> values = values_of(unit, i, tensors[i].bytes);
      for (std::size_t at = 0; at < values.size(); at += piece_bytes) {
        writer.write(unit, tensors[i].offset + at, std::span(values).subspan(at, std::min(piece_bytes, values.size() - at)));
      }
    }
  }
}

std::string make_base(const std::string& to, std::size_t piece_bytes = 70001) {
  BaseWriter writer(to, sample_manifest());
  writer.write_file("config.json", "{}");
  write_tensors(writer, sample_manifest(), piece_bytes);
  return writer.finish();
}

void expect_content(const Base& base) {
  for (int unit = 0; unit < static_cast<int>(base.manifest().units.size()); ++unit) {
    const BaseKind& kind = base.manifest().kind_of(unit);
    std::vector<std::byte> expected(kind.bytes);
    for (std::size_t i = 0; i < kind.tensors.size(); ++i) {
      const std::vector<std::byte> values = values_of(unit, i, kind.tensors[i].bytes);
      std::memcpy(expected.data() + kind.tensors[i].offset, values.data(), values.size());
      std::vector<std::byte> tensor(values.size());
      base.read(unit, kind.tensors[i].offset, tensor);
      EXPECT_EQ(tensor, values) << kind.tensors[i].name << " of unit " << unit;
    }
    std::vector<std::byte> whole(kind.bytes, std::byte{0xee});
    base.read(unit, 0, whole);
    EXPECT_EQ(whole, expected) << "with zeros between the tensors of unit " << unit;
  }
}

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

void change_byte(const std::string& path, std::uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const char old = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(old ^ 0x10));
  ASSERT_TRUE(file.good());
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class BaseTest : public ::testing::Test {
 protected:
  test::TemporaryFolder folder_;
  std::string to_ = folder_ / "base";
};

TEST_F(BaseTest, WhatIsWrittenComesBack) {
  const std::string id = make_base(to_);
  EXPECT_EQ(names_in(folder_.path()), std::set<std::string>{"base"});
  EXPECT_EQ(names_in(to_), (std::set<std::string>{"base.json", "base.bin", "base.hashes", "config.json"}));
  const Base base = Base::open(to_);
  const BaseManifest made = sample_manifest();
  EXPECT_EQ(base.manifest().id, id);
  EXPECT_EQ(base.manifest().format, made.format);
  EXPECT_EQ(base.manifest().model, made.model);
  EXPECT_EQ(base.manifest().kinds, made.kinds);
  EXPECT_EQ(base.manifest().units, made.units);
  EXPECT_EQ(base.manifest().source, made.source);
  EXPECT_EQ(base.bin_path(), folder_ / "base/base.bin");
  EXPECT_EQ(base.hashes().size() * kBlockBytes, base.bytes());
  EXPECT_EQ(fs::file_size(base.bin_path()), base.bytes());
  for (int unit = 0; unit < 5; ++unit) EXPECT_EQ(base.object_offset(unit) % kBlockBytes, 0U);
  EXPECT_EQ(base.object_offset(4), base.object_offset(3)) << "a unit without parameters has no bytes";
  expect_content(base);
  std::uint64_t seen = 0;
  base.verify([&](std::uint64_t done, std::uint64_t total) {
    seen = done;
    EXPECT_EQ(total, base.bytes());
  });
  EXPECT_EQ(seen, base.bytes());
}

TEST_F(BaseTest, TensorsStandOneAfterAnotherOnTheirAlignment) {
  const BaseKind kind = sample_manifest().kinds[1];
  EXPECT_EQ(kind.tensors[1].offset, 147456U);
  EXPECT_EQ(kind.tensors[2].offset, 147456U + 64) << "52 bytes, and 12 to the next multiple of 64";
  EXPECT_EQ(kind.bytes, 3 * kBlockBytes);
}

TEST_F(BaseTest, PiecesOfAnySizeMakeTheSameBase) {
  const std::string id = make_base(to_);
  EXPECT_EQ(make_base(folder_ / "other", 17), id);
  EXPECT_EQ(make_base(folder_ / "third", 1 << 20), id);
  EXPECT_EQ(text_of(to_ + "/base.bin"), text_of(folder_ / "other/base.bin"));
}

TEST_F(BaseTest, TheIdIsThatOfTheContentAlone) {
  const auto id_with = [&](const std::string& name, const std::function<void(BaseManifest&)>& change, int flipped = -1) {
    BaseManifest manifest = sample_manifest();
    change(manifest);
    BaseWriter writer(folder_ / name, manifest);
    std::vector<std::byte> bytes(12);
    if (flipped >= 0) bytes[static_cast<std::size_t>(flipped)] = std::byte{1};
    for (int unit = 0; unit < 3; ++unit) writer.write(unit, 0, std::vector<std::byte>(manifest.kind_of(unit).bytes));
    writer.write(4, 0, bytes);
    return writer.finish();
  };
  const std::string id = id_with("a", [](BaseManifest&) {});
  EXPECT_EQ(id.size(), 32U);
  EXPECT_EQ(id_with("b", [](BaseManifest& m) { m.source = "elsewhere"; }), id);
  EXPECT_NE(id_with("c", [](BaseManifest& m) { m.model["hidden_size"] = 65; }), id);
  EXPECT_NE(id_with("d", [](BaseManifest& m) { m.kinds[0].tensors[0].sizes = {64, 1000}; }), id);
  EXPECT_NE(id_with("e", [](BaseManifest& m) { m.format = "int8"; }), id);
  EXPECT_NE(id_with(
                "f", [](BaseManifest&) {}, 11),
            id);
}

TEST_F(BaseTest, ADamagedByteIsFoundWhereItIs) {
  make_base(to_);
  const std::string path = to_ + "/base.bin";
  const Base base = Base::open(to_);
  const std::uint64_t at = base.object_offset(2) + kBlockBytes + 77;
  change_byte(path, at);
  const auto named = AllOf(HasSubstr(path), HasSubstr("offset " + std::to_string(at - 77) + " of"), HasSubstr("gsnake quantize"),
                           HasSubstr("and not " + fmt::format("{:016x}", base.hashes()[(at - 77) / kBlockBytes])));
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { base.verify({}); }), named);
  std::vector<std::byte> part(10);
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { base.read(2, 2 * kBlockBytes - 5, part); }), named)
      << "its block is part of what is read";
  std::vector<std::byte> whole(base.manifest().kind_of(2).bytes);
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { Base::open(to_).read(2, 0, whole); }), named);
  base.read(2, 0, part);
  base.read(1, 0, whole);
}

TEST_F(BaseTest, AFileThatWasCutIsRefused) {
  make_base(to_);
  const Base open_before = Base::open(to_);
  fs::resize_file(to_ + "/base.bin", 5 * kBlockBytes + 100);
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { Base::open(to_); }), AllOf(HasSubstr("base.bin"), HasSubstr("B and not")));
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { open_before.verify({}); }), HasSubstr("shorter than it was"));
}

TEST_F(BaseTest, ManifestAndHashesThatDoNotBelongTogetherAreRefused) {
  make_base(to_);
  const std::string hashes = to_ + "/base.hashes";
  change_byte(hashes, 8);
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { Base::open(to_); }), AllOf(HasSubstr("its id is"), HasSubstr("damaged")));
  change_byte(hashes, 8);
  static_cast<void>(Base::open(to_));
  fs::resize_file(hashes, 8);
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { Base::open(to_); }), HasSubstr("8 B and not 72"));
  fs::remove(hashes);
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { Base::open(to_); }), HasSubstr("base.hashes: there is no such file"));
}

TEST_F(BaseTest, EveryWayToBreakAManifestIsRefused) {
  make_base(to_);
  const std::string path = to_ + "/base.json";
  const nlohmann::json good = nlohmann::json::parse(text_of(path));
  const auto refusal = [&](ErrorKind kind, const std::string& text) {
    std::ofstream(path, std::ios::trunc) << text;
    return message_of(kind, [&] { Base::open(to_); });
  };
  const auto changed = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json body = good;
    body[nlohmann::json::json_pointer(pointer)] = value;
    return body.dump();
  };
  EXPECT_THAT(refusal(ErrorKind::storage, text_of(path).substr(0, 100)), HasSubstr("damaged"));
  EXPECT_THAT(refusal(ErrorKind::storage, std::string(100000, '[')), HasSubstr("nested"));
  EXPECT_THAT(refusal(ErrorKind::input, "{}"), HasSubstr("gsnake quantize"));
  EXPECT_THAT(refusal(ErrorKind::input, changed("/version", 2)), HasSubstr("version 2"));
  for (const auto& [pointer, value] :
       std::vector<std::pair<const char*, nlohmann::json>>{{"/units/0", 9},
                                                           {"/units/0", -1},
                                                           {"/units", nlohmann::json::array()},
                                                           {"/model", 3},
                                                           {"/kinds/1/bytes", 3 * kBlockBytes + 4096},
                                                           {"/kinds/1/bytes", ~0ULL / kBlockBytes * kBlockBytes},
                                                           {"/kinds/1/bytes", 2 * kBlockBytes},
                                                           {"/kinds/1/tensors/1/offset", 64},
                                                           {"/kinds/1/tensors/1/offset", 147456 + 4},
                                                           {"/kinds/1/tensors/2/bytes", ~0ULL},
                                                           {"/kinds/1/tensors/2/name", "norm.weight"},
                                                           {"/kinds/1/tensors/2/sizes/0", -64},
                                                           {"/kinds/1/tensors/2/sizes/0", ~0ULL},
                                                           {"/format", "fp32"},
                                                           {"/id", 7}}) {
    EXPECT_THAT(refusal(ErrorKind::storage, changed(pointer, value)), HasSubstr("damaged")) << pointer << " = " << value;
  }
  std::ofstream(path, std::ios::trunc) << good.dump();
  expect_content(Base::open(to_));
}

TEST_F(BaseTest, AFolderThatIsNoBaseIsRefusedWithTheWayToMakeOne) {
  folder_.write("model/config.json", "{}");
  for (const char* name : {"model", "absent", "model/config.json"}) {
    EXPECT_THAT(message_of(ErrorKind::input, [&] { Base::open(folder_ / name); }),
                AllOf(HasSubstr(folder_ / name), HasSubstr("gsnake quantize")));
  }
}

TEST_F(BaseTest, TwoReadersAtOnceSeeTheSame) {
  make_base(to_);
  const Base first = Base::open(to_);
  const Base second = Base::open(to_);
  std::vector<std::thread> threads;
  for (const Base* base : {&first, &second, &first}) threads.emplace_back([base] { expect_content(*base); });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(BaseTest, AWriterThatStopsLeavesNothing) {
  const auto stopped = [&](auto&& work) {
    try {
      BaseWriter writer(to_, sample_manifest());
      EXPECT_TRUE(fs::exists(to_ + ".gsnake-partial/base.bin"));
      work(writer);
      throw std::runtime_error("interrupted");
    } catch (const std::runtime_error&) {
    }
    EXPECT_EQ(names_in(folder_.path()), std::set<std::string>{});
  };
  stopped([](BaseWriter&) {});
  stopped([](BaseWriter& writer) { write_tensors(writer, sample_manifest(), 4096); });
}

TEST_F(BaseTest, WhatAKilledWriterLeftIsReplaced) {
  const pid_t child = ::fork();
  if (child == 0) {
    BaseWriter writer(to_, sample_manifest());
    writer.write_file("left over", "x");
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(fs::exists(to_ + ".gsnake-partial/left over"));
  EXPECT_THAT(message_of(ErrorKind::input, [&] { Base::open(to_); }), HasSubstr("no base.json"));
  make_base(to_);
  EXPECT_EQ(names_in(to_), (std::set<std::string>{"base.json", "base.bin", "base.hashes", "config.json"}));
  expect_content(Base::open(to_));
}

TEST_F(BaseTest, WhatIsThereIsNeverWrittenOver) {
  make_base(to_);
  EXPECT_THAT(message_of(ErrorKind::usage, [&] { make_base(to_); }), HasSubstr("no empty folder"));
  expect_content(Base::open(to_));
  fs::create_directory(folder_ / "empty");
  make_base(folder_ / "empty/");
  expect_content(Base::open(folder_ / "empty"));
  const BaseWriter other(folder_ / "busy", sample_manifest());
  EXPECT_THAT(message_of(ErrorKind::usage, [&] { make_base(folder_ / "busy"); }), HasSubstr("another process"));
  EXPECT_TRUE(fs::exists(folder_ / "busy.gsnake-partial/base.bin")) << "the other's";
}

TEST_F(BaseTest, MoreThanIsFreeIsRefusedWithNeedAndFree) {
  BaseManifest huge = sample_manifest();
  huge.kinds[0] = kind_of({{"weight", {1 << 20}, "bf16", 0, 1ULL << 56}});
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { BaseWriter(to_, huge); }), AllOf(HasSubstr("cannot preallocate 64.00 PiB (free: "), HasSubstr(to_)));
  EXPECT_EQ(names_in(folder_.path()), std::set<std::string>{});
}

TEST_F(BaseTest, ADriveThatFillsUpMeanwhileLeavesNothing) {
  fs::create_directory(to_);
  if (::mount("gsnake-test", to_.c_str(), "tmpfs", 0, "size=768k") != 0)
    GTEST_SKIP() << "no small file system: mount: " << std::strerror(errno);
  const std::string message = message_of(ErrorKind::storage, [&] {
    BaseWriter writer(to_ + "/made", sample_manifest());  // 576 KiB
    writer.write_file("tokenizer.json", std::string(1 << 20, 'x'));
  });
  EXPECT_THAT(message, AllOf(HasSubstr("tokenizer.json"), HasSubstr("No space left")));
  EXPECT_EQ(names_in(to_), std::set<std::string>{});
  ::umount2(to_.c_str(), MNT_DETACH);
}

TEST_F(BaseTest, APlaceThatCannotBeWrittenIsRefused) {
  folder_.write("file", "x");
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { make_base(folder_ / "absent/base"); }), HasSubstr("absent/base"));
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { make_base(folder_ / "file/base"); }), HasSubstr("file/base"));
  EXPECT_THAT(message_of(ErrorKind::storage, [&] { make_base("/proc/gsnake-base"); }), HasSubstr("/proc/gsnake-base"));
  EXPECT_THAT(message_of(ErrorKind::usage, [&] { make_base(folder_ / "file"); }), HasSubstr("no empty folder"));
}

// Several of the writer's buffers, which are written while others are filled.
BaseManifest large_manifest() {
  BaseManifest manifest = sample_manifest();
  manifest.kinds[1].tensors.push_back({"mlp.up.weight", {1024, 10000}, "bf16", 0, 20480000});
  lay_out(manifest.kinds[1]);
  return manifest;
}

TEST_F(BaseTest, ALargeOneComesBack) {
  {
    BaseWriter writer(to_, large_manifest());
    write_tensors(writer, large_manifest(), 1 << 20);
    writer.finish();
  }
  const Base base = Base::open(to_);
  expect_content(base);
  base.verify({});
}

TEST_F(BaseTest, AFailureOfAWriteBehindIsToldAndLeavesNothing) {
  for (const std::uint64_t most : {8ULL << 20U, 30ULL << 20U}) {
    const pid_t child = ::fork();  // the limit is the process's
    if (child == 0) {
      int status = 1;
      try {
        BaseWriter writer(to_, large_manifest());
        const rlimit limit{most, most};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
          write_tensors(writer, large_manifest(), 1 << 20);
          writer.finish();
        } catch (const Error& error) {
          const bool named = error.kind() == ErrorKind::storage && std::string(error.what()).find("base.bin") != std::string::npos;
          try {
            writer.finish();
          } catch (const std::logic_error&) {
            status = named ? 0 : 2;
          }
        }
      } catch (...) {
        status = 3;
      }
      ::_exit(status);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(names_in(folder_.path()), std::set<std::string>{});
  }
}

TEST_F(BaseTest, PiecesOutOfOrderOrLeftOutAreTheCallersFault) {
  BaseWriter writer(to_, sample_manifest());
  const std::vector<std::byte> bytes(128000);
  EXPECT_THROW(writer.write(1, 0, bytes), std::logic_error) << "the embedding is missing";
  EXPECT_THROW(writer.write(0, 2 * kBlockBytes - 1, std::span(bytes).first(2)), std::logic_error);
  EXPECT_THROW(writer.write(5, 0, bytes), std::out_of_range);
  writer.write(0, 0, bytes);
  EXPECT_THROW(writer.write(0, 127936, std::span(bytes).first(64)), std::logic_error) << "again";
  EXPECT_THROW(writer.write(1, 64, bytes), std::logic_error) << "the first bytes are missing";
  EXPECT_THROW(writer.finish(), std::logic_error) << "most is missing";
  EXPECT_THROW(writer.write_file("base.json", ""), std::logic_error);
  BaseManifest flawed = sample_manifest();
  flawed.kinds[1].tensors[1].offset += 4;
  EXPECT_THROW(BaseWriter(folder_ / "other", flawed), std::logic_error);
  flawed = sample_manifest();
  flawed.source = "\xff";
  EXPECT_THAT(message_of(ErrorKind::storage,
                         [&] {
                           BaseWriter odd(folder_ / "other", flawed);
                           write_tensors(odd, flawed, 1 << 20);
                           odd.finish();
                         }),
              HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace gsnake::base
