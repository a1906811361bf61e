// What the store's tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "greedysnake/error.h"
#include "memory/anonymous.h"
#include "store/store.h"
#include "sweep.h"
#include "thrown.h"

namespace gsnake::store::testing {

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& parent = std::filesystem::temp_directory_path().string())
      : path_(std::filesystem::canonical(parent).string() + "/gsnake-store-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary folder in " + parent);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Where a test opens thousands of runs, and asks no drive to keep anything.
inline std::string in_memory() {
  const char* shared_memory = "/dev/shm";
  return ::access(shared_memory, W_OK) == 0 ? shared_memory : std::filesystem::temp_directory_path().string();
}

// Sanitizers slow the trials of these protocols, which have one thread, down by an order of magnitude: there, fewer random ends at a
// place, and an end before every fifth call only. Before every call in a long run.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline int call_stride() { return gsnake::test::sweep(5, 1); }
constexpr int trials(int count) { return (count + 9) / 10; }
#else
inline int call_stride() { return gsnake::test::sweep(3, 1); }
constexpr int trials(int count) { return count; }
#endif

using gsnake::test::message_of;

// Every file and folder below `directory`, relative to it.
inline std::set<std::string> tree(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    names.insert(std::filesystem::relative(entry.path(), directory).string());
  }
  return names;
}

inline KindLayout kind_of(int slots, const std::vector<std::uint64_t>& padded_bytes) {
  KindLayout layout{slots, padded_bytes, padded_bytes};
  for (std::uint64_t& bytes : layout.logical_bytes) bytes -= bytes == 0 ? 0 : 100;
  return layout;
}

// Odd sizes, an object that is not on SSD, one that is larger than several periods of stripes.
inline Layout sample_layout() {
  constexpr std::uint64_t kPage = kExtentAlignment;
  Layout layout;
  layout.kinds[0] = kind_of(2, {3 * kPage, 700 * kPage, 0, 65 * kPage});
  layout.kinds[1] = kind_of(2, {5 * kPage, 128 * kPage, kPage, 0});
  layout.kinds[2] = kind_of(2, {64 * kPage, 300 * kPage});
  layout.kinds[3] = kind_of(1, {kPage, 2 * kPage});
  layout.kinds[4] = kind_of(1, {});
  return layout;
}

inline Layout no_scratch() { return {}; }

inline StoreOptions make_options(const std::string& run_dir, const std::vector<std::string>& ssd_paths,
                                 const std::vector<double>& stripe_weights = {}) {
  StoreOptions options;
  options.run_dir = run_dir;
  options.ssd_paths = ssd_paths;
  options.stripe_weights = stripe_weights;
  return options;
}

inline void fill(std::byte* data, std::size_t bytes, std::uint64_t seed) {
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (std::size_t i = 0; i < bytes; i += sizeof(state)) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::memcpy(data + i, &state, sizeof(state));
  }
}

inline Extent whole_object(const Layout& layout, std::size_t kind, std::uint32_t object) {
  return {static_cast<Kind>(kind), object, 0, layout.kinds[kind].padded_bytes[object]};
}

// Calls with the kind, object and slot of every object that has bytes on SSD.
inline void for_each_object(const Layout& layout, const std::function<void(const Extent&, int slot)>& visit) {
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    for (std::uint32_t object = 0; object < layout.kinds[kind].padded_bytes.size(); ++object) {
      if (layout.kinds[kind].padded_bytes[object] == 0) continue;
      for (int slot = 0; slot < layout.kinds[kind].slots; ++slot) visit(whole_object(layout, kind, object), slot);
    }
  }
}

inline std::uint64_t seed_of(const Extent& extent, int slot) {
  return static_cast<std::uint64_t>(extent.kind) * 1000 + extent.object * 10 + static_cast<std::uint64_t>(slot);
}

inline bool is_state_kind(Kind kind) { return kind != Kind::gradients && kind != Kind::activations; }

inline void write_everything(Store& store, std::uint64_t salt = 0) {
  for_each_object(store.layout(), [&](const Extent& extent, int slot) {
    const memory::AnonymousMemory data(extent.bytes);
    fill(data.data(), extent.bytes, seed_of(extent, slot) + salt);
    store.write(extent, slot, data.data());
  });
}

inline void expect_state(Store& store, std::uint64_t salt = 0) {
  for_each_object(store.layout(), [&](const Extent& extent, int slot) {
    if (!is_state_kind(extent.kind)) return;
    const memory::AnonymousMemory expected(extent.bytes);
    const memory::AnonymousMemory got(extent.bytes);
    fill(expected.data(), extent.bytes, seed_of(extent, slot) + salt);
    store.read(extent, slot, got.data());
    EXPECT_EQ(std::memcmp(expected.data(), got.data(), extent.bytes), 0)
        << kKindNames[static_cast<std::size_t>(extent.kind)] << " object " << extent.object << " slot " << slot;
  });
}

// State that is small enough to be written often and yet lies on two paths.
inline Layout small_layout(int slots) {
  constexpr std::uint64_t kPage = kExtentAlignment;
  Layout layout;
  layout.kinds[0] = kind_of(slots, {3 * kPage, 40 * kPage});
  layout.kinds[1] = kind_of(slots, {2 * kPage, 0, 37 * kPage});
  layout.kinds[2] = kind_of(slots, {38 * kPage});
  return layout;
}

// Of all state of `slot`, as it stands there; in pieces of unequal sizes.
inline std::vector<Checksum> checksums_of_slot(Store& store, int slot) {
  std::vector<Checksum> checksums;
  std::vector<Extent> extents;
  for_each_object(store.layout(), [&](const Extent& object, int at) {
    if (at != slot || !is_state_kind(object.kind)) return;
    const std::uint64_t piece = (1 + extents.size() % 3) * 5 * kExtentAlignment;
    for (std::uint64_t offset = 0; offset < object.bytes; offset += piece) {
      extents.push_back({object.kind, object.object, offset, std::min(piece, object.bytes - offset)});
    }
  });
  const std::vector<std::uint64_t> hashes = store.hash(extents, slot);
  for (std::size_t i = 0; i < extents.size(); ++i) checksums.push_back({extents[i], hashes[i]});
  return checksums;
}

// All state of a step, of which every byte depends on the step.
inline void write_step(Store& store, int slot, std::uint64_t step) {
  for_each_object(store.layout(), [&](const Extent& extent, int at) {
    if (at != slot || !is_state_kind(extent.kind)) return;
    const memory::AnonymousMemory data(extent.bytes);
    fill(data.data(), extent.bytes, seed_of(extent, 0) + 10000 * step);
    store.write(extent, slot, data.data());
  });
}

inline void expect_step(Store& store, int slot, std::uint64_t step) {
  for_each_object(store.layout(), [&](const Extent& extent, int at) {
    if (at != slot || !is_state_kind(extent.kind)) return;
    const memory::AnonymousMemory expected(extent.bytes);
    const memory::AnonymousMemory got(extent.bytes);
    fill(expected.data(), extent.bytes, seed_of(extent, 0) + 10000 * step);
    store.read(extent, slot, got.data());
    EXPECT_EQ(std::memcmp(expected.data(), got.data(), extent.bytes), 0)
        << kKindNames[static_cast<std::size_t>(extent.kind)] << " object " << extent.object << " of step " << step;
  });
}

// A training step into the slot that the last commit does not own, and its commit.
inline void commit_step(Store& store, std::uint64_t step) {
  const int slot = store.manifest() == nullptr ? 0 : 1 - store.committed_slot();
  write_step(store, slot, step);
  store.commit({slot, {{"step", step}}, checksums_of_slot(store, slot)});
}

inline std::uint64_t committed_step(const Store& store) { return store.manifest()->training.at("step").get<std::uint64_t>(); }

}  // namespace gsnake::store::testing
