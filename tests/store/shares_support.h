// A small model whose state ranks share, as the runtime shares it: whole grains, as many for each rank but the last ones.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "memory/anonymous.h"
#include "store/layout/layout.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store::testing {

inline constexpr std::uint64_t kShareGrain = 2048;  // cells

struct SharedObject {
  std::uint64_t elements = 0;
  bool trained = true;

  [[nodiscard]] std::uint64_t cells() const { return (elements + kShareGrain - 1) / kShareGrain * kShareGrain; }
};

// More than the ranks have grains for, less than they are, one that is frozen, and a large one.
inline const std::vector<SharedObject>& shared_objects() {
  static const std::vector<SharedObject> objects{{5 * kShareGrain - 7}, {100}, {9 * kShareGrain - 1, false}, {131 * kShareGrain}};
  return objects;
}

struct CellRange {
  std::uint64_t begin = 0;
  std::uint64_t cells = 0;
};

inline CellRange share_of_cells(const SharedObject& object, std::size_t rank, std::size_t ranks) {
  const std::uint64_t grains = object.cells() / kShareGrain;
  const std::uint64_t part = (grains + ranks - 1) / ranks * kShareGrain;
  const std::uint64_t begin = std::min(rank * part, object.cells());
  return {begin, std::min(begin + part, object.cells()) - begin};
}

// bf16 weights, what they lack of the master, fp32 moments.
inline constexpr std::array<std::pair<Kind, std::uint64_t>, 4> kShareWidths{{{Kind::weights, 2}, {Kind::master, 2}, {Kind::moment1, 4}, {Kind::moment2, 4}}};

inline Layout share_layout(std::size_t rank, std::size_t ranks, int slots = 2) {
  Layout layout;
  for (const auto& [kind, width] : kShareWidths) {
    KindLayout& own = layout.kinds[index_of(kind)];
    own.slots = slots;
    for (std::size_t object = 0; object < shared_objects().size(); ++object) {
      const SharedObject& o = shared_objects()[object];
      const CellRange range = share_of_cells(o, rank, ranks);
      const bool there = o.trained || kind == Kind::weights;
      own.padded_bytes.push_back(there ? range.cells * width : 0);
      own.logical_bytes.push_back(there ? std::min(range.cells, o.elements - std::min(o.elements, range.begin)) * width : 0);
      if (!o.trained && kind == Kind::weights) own.frozen.push_back(static_cast<std::uint32_t>(object));
    }
  }
  return layout;
}

inline std::uint64_t begin_of_share(Kind kind, std::uint32_t object, std::size_t rank, std::size_t ranks) {
  const auto width = std::find_if(kShareWidths.begin(), kShareWidths.end(), [&](const auto& each) { return each.first == kind; })->second;
  return share_of_cells(shared_objects()[object], rank, ranks).begin * width;
}

// The bytes of [begin, begin + bytes) of the whole object at a step: what is frozen does not change.
inline void fill_whole(std::byte* data, const Extent& whole, std::uint64_t step) {
  const bool trained = shared_objects()[whole.object].trained;
  for (std::uint64_t done = 0; done < whole.bytes; done += kExtentAlignment) {
    const std::uint64_t block = (whole.offset + done) / kExtentAlignment;
    fill(data + done, kExtentAlignment, (seed_of({whole.kind, whole.object, 0, 0}, 0) << 24) + (block << 8) + (trained ? step : 0));
  }
}

// All state of the rank at a step, into the slot.
inline void write_share(Store& store, int slot, std::uint64_t step, std::size_t rank, std::size_t ranks) {
  for_each_object(store.layout(), [&](const Extent& object, int at) {
    if (at != slot) return;
    const memory::AnonymousMemory data(object.bytes);
    fill_whole(data.data(), {object.kind, object.object, begin_of_share(object.kind, object.object, rank, ranks), object.bytes}, step);
    store.write(object, slot, data.data());
  });
}

inline void expect_whole(Store& store, std::uint64_t step) {
  for_each_object(store.layout(), [&](const Extent& object, int) {
    const memory::AnonymousMemory expected(object.bytes);
    const memory::AnonymousMemory got(object.bytes);
    fill_whole(expected.data(), object, step);
    store.read(object, store.committed_slot(), got.data());
    EXPECT_EQ(std::memcmp(expected.data(), got.data(), object.bytes), 0) << name_of(object.kind) << " object " << object.object << " of step " << step;
  });
}

inline nlohmann::json training_of(std::uint64_t step, std::size_t rank, std::size_t ranks) {
  return {{"step", step}, {"updates", step}, {"ranks", ranks}, {"rank", rank}};
}

// As checksums_of_slot(), of a store in which a rank may own nothing of an object.
inline PreparedCommit prepare_share(Store& store, std::uint64_t step, std::size_t rank, std::size_t ranks) {
  const int slot = store.manifest() == nullptr ? 0 : (state_slots(store.layout()) == 1 ? 0 : 1 - store.committed_slot());
  write_share(store, slot, step, rank, ranks);
  return store.prepare({slot, training_of(step, rank, ranks), checksums_of_slot(store, slot)});
}

// The ranks of a run, each with its store in BASE/run/rank-I/of-N and in the same below its SSD paths; one rank has it in the folders themselves.
struct SharedRun {
  SharedRun(std::string base, std::size_t ranks, int ssd_paths = 2) : base_(std::move(base)) {
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const std::string below = ranks == 1 ? "" : "/rank-" + std::to_string(rank) + "/of-" + std::to_string(ranks);
      ShareFolders& own = folders.emplace_back(ShareFolders{base_ + "/run" + below, {}});
      for (int path = 0; path < ssd_paths; ++path) own.ssd_paths.push_back(base_ + "/ssd" + std::to_string(path) + below);
    }
  }

  [[nodiscard]] std::size_t ranks() const { return folders.size(); }
  [[nodiscard]] StoreOptions options(std::size_t rank) const {
    StoreOptions options = make_options(folders[rank].run_dir, folders[rank].ssd_paths, std::vector<double>(folders[rank].ssd_paths.size(), 1.0));
    options.engine = io::EngineChoice::threads;
    options.engine_options.threads = 2;
    options.direct = io::DirectIo::off;
    options.stream_bytes = 2ULL << 20;
    return options;
  }
  // Where the shares are is for whoever asks to say.
  [[nodiscard]] StoreOptions reading() const { return options(0); }

  void create(int slots = 2) {
    for (std::size_t rank = 0; rank < ranks(); ++rank) stores.push_back(Store::create(options(rank), share_layout(rank, ranks(), slots)));
  }
  void commit(std::uint64_t step) {
    std::vector<PreparedCommit> prepared;
    for (std::size_t rank = 0; rank < ranks(); ++rank) prepared.push_back(prepare_share(*stores[rank], step, rank, ranks()));
    for (std::size_t rank = 0; rank < ranks(); ++rank) stores[rank]->publish(prepared[rank]);
  }
  void end() { stores.clear(); }
  std::unique_ptr<Store> read() const { return Store::open_reader(reading(), folders); }

  std::vector<ShareFolders> folders;
  std::vector<std::unique_ptr<Store>> stores;

 private:
  std::string base_;
};

}  // namespace gsnake::store::testing
