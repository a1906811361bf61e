// Several ranks' shares of the same objects as one layout.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "store/layout/layout.h"

namespace gsnake::store {

// Of each kind and object, the shares' padded bytes one after another; in one slot. Immutable; nothing allocates after construction.
class ShareMap {
 public:
  // Of at least one share. Throws Error(storage) where they are not of the same objects.
  explicit ShareMap(std::span<const Layout> shares);

  [[nodiscard]] const Layout& layout() const noexcept { return layout_; }
  [[nodiscard]] std::size_t shares() const noexcept { return shares_; }
  // Where `share` begins in the object; of the number of shares, where the last one ends.
  [[nodiscard]] std::uint64_t start(Kind kind, std::uint32_t object, std::size_t share) const { return starts_[index_of(kind)][object * (shares_ + 1) + share]; }

  // Calls visit(share, its part of `extent` as its own, offset of that in `extent`) for each share that has some of it, in order. Aborts for an extent that is
  // not inside its object: a bug of ours.
  template <typename Visit>
  void split(const Extent& extent, Visit&& visit) const {
    require_inside(extent);
    const std::uint64_t end = extent.offset + extent.bytes;
    for (std::size_t share = 0; share < shares_; ++share) {
      const std::uint64_t begin = start(extent.kind, extent.object, share);
      const std::uint64_t from = std::max(begin, extent.offset);
      const std::uint64_t to = std::min(start(extent.kind, extent.object, share + 1), end);
      if (from < to) visit(share, Extent{extent.kind, extent.object, from - begin, to - from}, from - extent.offset);
    }
  }

 private:
  void add(Kind kind, std::span<const Layout> shares);
  void require_inside(const Extent& extent) const;

  std::size_t shares_;
  Layout layout_;
  std::array<std::vector<std::uint64_t>, kKindCount> starts_;  // by object, of each share and then of the end
};

}  // namespace gsnake::store
