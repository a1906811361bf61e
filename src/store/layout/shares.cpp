#include "store/layout/shares.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "core/errors.h"

namespace gsnake::store {

ShareMap::ShareMap(std::span<const Layout> shares) : shares_(shares.size()) {
  for (std::size_t kind = 0; kind < layout_.kinds.size(); ++kind) {
    if (is_state(kind_at(kind))) add(kind_at(kind), shares);
  }
}

void ShareMap::add(Kind kind, std::span<const Layout> shares) {
  const KindLayout& first = shares.front().kinds[index_of(kind)];
  KindLayout& whole = layout_.kinds[index_of(kind)];
  std::vector<std::uint64_t>& starts = starts_[index_of(kind)];
  const std::size_t objects = first.padded_bytes.size();
  whole.frozen = first.frozen;
  whole.logical_bytes.assign(objects, 0);
  whole.padded_bytes.assign(objects, 0);
  starts.assign(objects * (shares_ + 1), 0);
  for (std::size_t share = 0; share < shares_; ++share) {
    const KindLayout& own = shares[share].kinds[index_of(kind)];
    if (own.padded_bytes.size() != objects || own.frozen != first.frozen) {
      core::throw_storage("read the ranks' shares as", "one run",
                          fmt::format("rank {} has {} of {} objects, rank 0 of {}, or others are frozen", share, name_of(kind), own.padded_bytes.size(), objects),
                          "name the folders of one run");
    }
    for (std::size_t object = 0; object < objects; ++object) {
      whole.logical_bytes[object] += own.logical_bytes[object];
      whole.padded_bytes[object] += own.padded_bytes[object];
      starts[object * (shares_ + 1) + share + 1] = whole.padded_bytes[object];
    }
  }
}

void ShareMap::require_inside(const Extent& extent) const {
  const std::vector<std::uint64_t>& sizes = layout_.kinds[index_of(extent.kind)].padded_bytes;
  const std::uint64_t bytes = extent.object < sizes.size() ? sizes[extent.object] : 0;
  if (extent.object < sizes.size() && extent.offset <= bytes && extent.bytes <= bytes - extent.offset) return;
  std::fprintf(stderr, "gsnake: extent [%llu, +%llu) of %s object %u is not in the ranks' shares (object of %llu bytes)\n",
               static_cast<unsigned long long>(extent.offset), static_cast<unsigned long long>(extent.bytes), name_of(extent.kind), extent.object,
               static_cast<unsigned long long>(bytes));
  std::abort();
}

}  // namespace gsnake::store
