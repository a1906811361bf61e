// What is written comes back, what is damaged is found, and what was not finished leaves nothing.
#include "base/base.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <thread>

#include "base/support.h"
#include "greedysnake/error.h"
#include "thrown.h"

namespace gsnake::base {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using gsnake::test::message_of;

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
