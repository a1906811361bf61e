// The calls that all ranks make alike, on links.
#pragma once

#include <cstdint>
#include <vector>

#include "dist/link.h"
#include "dist/watch.h"
#include "runtime/agreement.h"
#include "runtime/collective.h"

namespace gsnake::dist {

// One of `count` ranks on a link of theirs. All are borrowed.
struct Side {
  Link& link;
  Watch& watch;
  int rank = 0;
  int count = 1;

  // Runs `exchanges`, those of one call; what ends it early is thrown as the watch explains it.
  template <typename Exchanges>
  void call(const Exchanges& exchanges) const {
    try {
      exchanges();
      link.finished();
    } catch (const LinkBroken& broken) {
      watch.suspect(broken.peer, broken.what(), link);
      watch.explain(link);
    } catch (const LinkAborted&) {
      watch.explain(link);
    }
  }
};

class LinkAgreement final : public runtime::Agreement {
 public:
  explicit LinkAgreement(const Side& side);
  [[nodiscard]] int ranks() const override { return side_.count; }
  void share(std::span<const double> own, std::span<double> all) override;
  void abort() noexcept override { side_.link.abort(); }

 private:
  const Side side_;
  std::vector<double> sent_;  // of this call: c10d wants memory that it might write to
  std::vector<Transfer> incoming_;
  std::vector<Transfer> outgoing_;
};

class LinkCollective final : public runtime::Collective {
 public:
  explicit LinkCollective(const Side& side);
  [[nodiscard]] int ranks() const override { return side_.count; }
  void run(const device::ComputeScope& scope, const runtime::CollectiveCall& call) override;
  void abort() noexcept override { side_.link.abort(); }

  [[nodiscard]] static std::uint64_t scratch_bytes(int ranks, std::uint64_t largest_part);
  void reserve(std::uint64_t largest_part);

 private:
  void all_gather(std::byte* source, std::byte* destination, std::uint64_t part_bytes);
  void reduce_scatter(std::byte* source, std::byte* destination, std::uint64_t part_bytes);
  void add_piece(std::byte* source, std::byte* destination, std::uint64_t part_bytes, std::uint64_t first, std::uint64_t bytes);

  const Side side_;
  std::uint64_t piece_bytes_ = 0;  // of a part, which is added up piece by piece
  std::vector<float> scratch_;     // a piece from each other rank
  std::vector<Transfer> incoming_;
  std::vector<Transfer> outgoing_;
  std::vector<const float*> parts_;
};

}  // namespace gsnake::dist
