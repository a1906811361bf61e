#include "dist/calls.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "dist/pieces.h"
#include "dist/sum.h"

namespace gsnake::dist {

LinkAgreement::LinkAgreement(const Side& side) : side_(side) {
  incoming_.reserve(static_cast<std::size_t>(side.count));
  outgoing_.reserve(static_cast<std::size_t>(side.count));
}

void LinkAgreement::share(std::span<const double> own, std::span<double> all) {
  if (all.size() != own.size() * static_cast<std::size_t>(side_.count)) throw std::logic_error("agreement: no place for what every rank says");
  sent_.assign(own.begin(), own.end());
  incoming_.clear();
  outgoing_.clear();
  for (int rank = 0; rank < side_.count; ++rank) {
    const std::span<double> place = all.subspan(own.size() * static_cast<std::size_t>(rank), own.size());
    if (rank == side_.rank) {
      std::copy(own.begin(), own.end(), place.begin());
      continue;
    }
    incoming_.push_back({rank, reinterpret_cast<std::byte*>(place.data()), place.size_bytes()});
    outgoing_.push_back({rank, reinterpret_cast<std::byte*>(sent_.data()), own.size_bytes()});
  }
  side_.call([&] { side_.link.exchange(incoming_, outgoing_); });
}

LinkCollective::LinkCollective(const Side& side) : side_(side), parts_(static_cast<std::size_t>(side.count)) {
  incoming_.reserve(parts_.size());
  outgoing_.reserve(parts_.size());
}

std::uint64_t LinkCollective::scratch_bytes(int ranks, std::uint64_t largest_part) { return static_cast<std::uint64_t>(ranks - 1) * piece_of(largest_part); }

void LinkCollective::reserve(std::uint64_t largest_part) {
  piece_bytes_ = piece_of(largest_part);
  scratch_ = std::vector<float>(scratch_bytes(side_.count, largest_part) / sizeof(float));
}

void LinkCollective::run(const device::ComputeScope& scope, const runtime::CollectiveCall& call) {
  std::byte* source = scope.address(call.source);
  std::byte* destination = scope.address(call.destination);
  side_.call([&] {
    if (call.op == schedule::Op::all_gather) {
      all_gather(source, destination, call.part_bytes);
    } else {
      reduce_scatter(source, destination, call.part_bytes);
    }
  });
}

void LinkCollective::all_gather(std::byte* source, std::byte* destination, std::uint64_t part_bytes) {
  incoming_.clear();
  outgoing_.clear();
  for (int rank = 0; rank < side_.count; ++rank) {
    std::byte* place = destination + static_cast<std::uint64_t>(rank) * part_bytes;
    if (rank == side_.rank) {
      std::memcpy(place, source, part_bytes);
    } else {
      incoming_.push_back({rank, place, part_bytes});
      outgoing_.push_back({rank, source, part_bytes});
    }
  }
  side_.link.exchange(incoming_, outgoing_);
}

void LinkCollective::reduce_scatter(std::byte* source, std::byte* destination, std::uint64_t part_bytes) {
  if (part_bytes > 0 && piece_bytes_ == 0) throw std::logic_error("ranks: reduce_scatter without reserve()");
  for (std::uint64_t first = 0; first < part_bytes; first += piece_bytes_) add_piece(source, destination, part_bytes, first, std::min(piece_bytes_, part_bytes - first));
}

void LinkCollective::add_piece(std::byte* source, std::byte* destination, std::uint64_t part_bytes, std::uint64_t first, std::uint64_t bytes) {
  incoming_.clear();
  outgoing_.clear();
  float* scratch = scratch_.data();
  for (int rank = 0; rank < side_.count; ++rank) {
    std::byte* piece = source + static_cast<std::uint64_t>(rank) * part_bytes + first;
    if (rank == side_.rank) {
      parts_[static_cast<std::size_t>(rank)] = reinterpret_cast<const float*>(piece);
      continue;
    }
    parts_[static_cast<std::size_t>(rank)] = scratch;
    incoming_.push_back({rank, reinterpret_cast<std::byte*>(scratch), bytes});
    outgoing_.push_back({rank, piece, bytes});
    scratch += piece_bytes_ / sizeof(float);
  }
  side_.link.exchange(incoming_, outgoing_);
  add_in_order(parts_, reinterpret_cast<float*>(destination + first), bytes / sizeof(float));
}

}  // namespace gsnake::dist
