// Commits that carry checksums, and what is done when bytes, tables or manifests do not agree with them.
#include <fstream>

#include "store/manifest/checksum_table.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class VerifyTest : public ::testing::Test {
 protected:
  StoreOptions options() const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 0.5});
    options.engine = io::EngineChoice::threads;
    return options;
  }

  // A run that stands at `steps`.
  void train(std::uint64_t steps) const {
    const auto store = Store::create(options(), small_layout(2));
    for (std::uint64_t step = 1; step <= steps; ++step) commit_step(*store, step);
  }

  void flip(const std::string& name, std::uint64_t offset) const {
    std::fstream file(directory_ / name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(file.get() ^ 0x10);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    ASSERT_TRUE(file);
  }
  void tear(const std::string& name) const { fs::resize_file(directory_ / name, fs::file_size(directory_ / name) / 2); }
  [[nodiscard]] std::string table(const std::string& folder, const char* manifest = kManifestName) const {
    return folder + "/" + table_of(*read_manifest(directory_ / folder, manifest))->file;
  }

  void expect_opens_at(std::uint64_t step) const {
    const auto store = Store::open(options(), no_scratch());
    EXPECT_EQ(committed_step(*store), step);
    store->verify({});
    expect_step(*store, store->committed_slot(), step);
  }
  [[nodiscard]] std::string refusal() const {
    return message_of(ErrorKind::storage, [&] { Store::open(options(), no_scratch()); });
  }

  TemporaryDirectory directory_;
};

TEST_F(VerifyTest, ReopenedChecksumsAreThoseOfTheCommit) {
  std::vector<Checksum> written;
  {
    const auto store = Store::create(options(), small_layout(2));
    EXPECT_TRUE(store->checksums().empty());
    write_step(*store, 1, 1);
    written = checksums_of_slot(*store, 1);
    store->commit({1, {{"step", 1}}, written});
    EXPECT_EQ(store->committed_slot(), 1);
  }
  const auto store = Store::open(options(), no_scratch());
  EXPECT_EQ(store->committed_slot(), 1);
  ASSERT_EQ(store->checksums().size(), written.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(store->checksums()[i].xxh3, written[i].xxh3);
    EXPECT_EQ(store->checksums()[i].extent.offset, written[i].extent.offset);
  }
}

TEST_F(VerifyTest, HashesAgreeWithTheBytesWhateverThePieces) {
  const auto store = Store::create(options(), sample_layout());
  write_everything(*store);
  const Extent object = whole_object(sample_layout(), 0, 1);
  const memory::AnonymousMemory bytes(object.bytes);
  store->read(object, 1, bytes.data());
  std::vector<Extent> pieces{object};
  for (std::uint64_t offset = 0; offset < object.bytes; offset += 3 * kExtentAlignment) {
    pieces.push_back({object.kind, object.object, offset, std::min(3 * kExtentAlignment, object.bytes - offset)});
  }
  const std::vector<std::uint64_t> hashes = store->hash(pieces, 1);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(hashes[i], checksum_of({bytes.data() + pieces[i].offset, pieces[i].bytes})) << "piece " << i;
  }
}

TEST_F(VerifyTest, ProgressEndsAtTheWholeState) {
  train(1);
  const auto store = Store::open(options(), no_scratch());
  std::vector<std::pair<std::uint64_t, std::uint64_t>> told;
  store->verify([&](std::uint64_t done, std::uint64_t total) { told.emplace_back(done, total); });
  std::uint64_t state = 0;
  for_each_object(small_layout(1), [&](const Extent& extent, int) { state += extent.bytes; });
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back(), std::pair(state, state));
}

TEST_F(VerifyTest, AFlippedBitIsNamedWithObjectFileOffsetAndBothHashes) {
  train(2);
  // Object 0 of the weights is the first of slot A; step 2 stands in slot B, behind 43 pages.
  flip("a/gsnake-weights.bin", 5);
  Store::open(options(), no_scratch())->verify({});
  const auto store = Store::open(options(), no_scratch());
  const Extent last{Kind::moment2, 0, 35 * kExtentAlignment, kExtentAlignment};
  std::vector<io::Request> requests(store->max_requests(last.bytes));
  requests.resize(store->plan(io::Direction::read, last, 1, nullptr, nullptr, requests));
  const std::string file = store->path_of(requests[0].file);
  flip(fs::relative(file, directory_.path()).string(), requests[0].offset + 77);
  const std::string message = message_of(ErrorKind::storage, [&] { store->verify({}); });
  EXPECT_NE(message.find("of moment2 object 0, slot 1"), std::string::npos) << message;
  EXPECT_NE(message.find(file), std::string::npos) << message;
  EXPECT_NE(message.find("at offset "), std::string::npos) << message;
  EXPECT_NE(message.find("XXH3 is "), std::string::npos) << message;
}

TEST_F(VerifyTest, ACommitWithoutChecksumsCannotBeVerified) {
  const auto store = Store::create(options(), small_layout(2));
  message_of(ErrorKind::storage, [&] { store->verify({}); });
  store->commit(Commit{});
  EXPECT_NE(message_of(ErrorKind::storage, [&] { store->verify({}); }).find("no checksums"), std::string::npos);
}

TEST_F(VerifyTest, ChecksumsThatDoNotTileTheStateAreRefusedBeforeTheCommit) {
  train(1);
  const auto store = Store::open(options(), no_scratch());
  const std::vector<Checksum> whole = store->checksums();
  const auto expect_refused = [&](std::vector<Checksum> checksums) {
    message_of(ErrorKind::usage, [&] { store->commit({1, {}, checksums}); });
  };
  std::vector<Checksum> changed = whole;
  changed.pop_back();
  expect_refused(changed);
  changed = whole;
  changed.push_back(whole[0]);
  expect_refused(changed);
  changed = whole;
  changed[0].extent.bytes -= kExtentAlignment;
  expect_refused(changed);
  changed = whole;
  changed[0].extent.kind = Kind::gradients;
  expect_refused(changed);
  changed = whole;
  std::reverse(changed.begin(), changed.end());
  EXPECT_NO_THROW(store->commit({0, {}, changed})) << "any order will do";
  message_of(ErrorKind::usage, [&] { store->commit({2, {}, whole}); });
}

TEST_F(VerifyTest, TornTablesAndManifestsAreReplacedFromTheFolderThatIsWhole) {
  train(3);
  for (const char* whole : {"run", "a", "b"}) {
    int way = 0;
    for (const char* folder : {"run", "a", "b"}) {
      if (folder == std::string(whole)) continue;
      ++way == 1 ? tear(table(folder)) : tear(std::string(folder) + "/manifest.json");
    }
    expect_opens_at(3);
    for (const char* folder : {"run", "a", "b"}) {
      const std::optional<Manifest> manifest = read_manifest(directory_ / folder);
      EXPECT_EQ(manifest->generation, 3U);
      EXPECT_FALSE(read_table(directory_ / folder, *table_of(*manifest)).empty());
    }
  }
}

TEST_F(VerifyTest, TheCommitBeforeCountsIfItVerifies) {
  for (int way = 0; way < 3; ++way) {
    SCOPED_TRACE(way);
    StoreOptions over = options();
    over.overwrite = true;
    {
      const auto store = Store::create(over, small_layout(2));
      commit_step(*store, 1);
      commit_step(*store, 2);
    }
    for (const char* folder : {"run", "a", "b"}) {
      if (way == 0) tear(std::string(folder) + "/manifest.json");
      if (way == 1) fs::remove(directory_ / table(folder));
      if (way == 2) fs::remove(directory_ / (std::string(folder) + "/manifest.json"));
    }
    expect_opens_at(1);
    expect_opens_at(1);
    const auto store = Store::open(options(), no_scratch());
    commit_step(*store, 3);
    EXPECT_EQ(committed_step(*store), 3U);
    EXPECT_EQ(store->committed_slot(), 1);
  }
}

TEST_F(VerifyTest, TheCommitBeforeDoesNotCountOnceItsSlotIsOverwrittenInPart) {
  train(2);
  {
    const auto store = Store::open(options(), no_scratch());
    const memory::AnonymousMemory page(kExtentAlignment);
    fill(page.data(), kExtentAlignment, 99);
    store->write({Kind::moment1, 2, 36 * kExtentAlignment, kExtentAlignment}, 0, page.data());
  }
  for (const char* folder : {"run", "a", "b"}) tear(std::string(folder) + "/manifest.json");
  const std::string message = refusal();
  EXPECT_NE(message.find("of moment1 object 2, slot 0"), std::string::npos) << message;
  EXPECT_NE(message.find(directory_ / "run/manifest.json"), std::string::npos) << message;
  EXPECT_EQ(refusal(), message) << "nothing was changed";
}

TEST_F(VerifyTest, TheCommitBeforeDoesNotCountWithoutItsTable) {
  train(2);
  for (const char* folder : {"run", "a", "b"}) {
    tear(table(folder, kPreviousName));
    tear(std::string(folder) + "/manifest.json");
  }
  EXPECT_NE(refusal().find("no valid manifest is left"), std::string::npos);
}

TEST_F(VerifyTest, AnOlderCopyIsDoubtedWhileATornOneTellsOfALaterCommit) {
  train(1);
  const auto keep = [&](const std::string& from, const std::string& to) { fs::copy_file(directory_ / from, directory_ / to); };
  keep("b/manifest.json", "old.json");
  {
    const auto store = Store::open(options(), no_scratch());
    commit_step(*store, 2);
  }
  fs::rename(directory_ / "old.json", directory_ / "b/manifest.json");
  tear(table("run"));
  tear(table("a"));
  expect_opens_at(1);
  // The same again, but for the state.
  fs::copy_file(directory_ / "b/manifest.json", directory_ / "old.json");
  { commit_step(*Store::open(options(), no_scratch()), 2); }
  write_step(*Store::open(options(), no_scratch()), 0, 3);
  fs::rename(directory_ / "old.json", directory_ / "b/manifest.json");
  tear(table("run"));
  tear(table("a"));
  EXPECT_NE(refusal().find("no commit left that counts"), std::string::npos);
}

TEST_F(VerifyTest, ATableOfAnotherLayoutIsRefused) {
  train(1);
  const std::vector<std::byte> other = encode_table(std::vector<Checksum>{{{Kind::weights, 9, 0, kExtentAlignment}, 1}});
  for (const char* folder : {"run", "a", "b"}) {
    Manifest manifest = *read_manifest(directory_ / folder);
    write_file(io::kernel_sync(), directory_ / (std::string(folder) + "/checksums-a.bin"), other);
    manifest.storage["checksums"] = to_json({"checksums-a.bin", 1, checksum_of(other)});
    stage_manifest(io::kernel_sync(), directory_ / folder, kManifestName, manifest);
    publish_manifest(io::kernel_sync(), directory_ / folder, kManifestName);
  }
  EXPECT_NE(refusal().find("they tile 0 B"), std::string::npos);
}

TEST_F(VerifyTest, AManifestOfAnotherVersionIsRefusedByName) {
  train(1);
  for (const char* folder : {"run", "a", "b"}) {
    nlohmann::json body = nlohmann::json::parse(std::ifstream(directory_ / (std::string(folder) + "/manifest.json")));
    body.erase("xxh3_64");
    body["version"] = 1;
    const std::string text = body.dump();
    body["xxh3_64"] = to_json({"", 0, checksum_of(std::as_bytes(std::span(text)))})["xxh3_64"];
    std::ofstream(directory_ / (std::string(folder) + "/manifest.json")) << body;
    fs::remove(directory_ / (std::string(folder) + "/manifest.previous.json"));
  }
  EXPECT_NE(refusal().find("it is of version 1, and this build reads version 2"), std::string::npos);
}

TEST_F(VerifyTest, ARetractedCommitLeavesNeitherTablesNorTheOneBefore) {
  const auto store = Store::create(options(), small_layout(1));
  for (std::uint64_t step = 1; step <= 2; ++step) {
    write_step(*store, 0, step);
    store->commit({0, {{"step", step}}, checksums_of_slot(*store, 0)});
  }
  store->retract_manifest();
  for (const std::string& name : tree(directory_.path())) {
    EXPECT_EQ(name.find("manifest"), std::string::npos) << name;
    EXPECT_EQ(name.find("checksums"), std::string::npos) << name;
  }
  store->commit({0, {{"step", 2}}, checksums_of_slot(*store, 0)});
  store->verify({});
}

}  // namespace
}  // namespace gsnake::store
