#include "convert/committed_elements.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "checkpoint/master_weights.h"
#include "core/errors.h"

namespace gsnake::convert {
namespace {

using hf::Dtype;
using optim::WeightFormat;
using store::Kind;

// Kinds that the values are made of.
std::vector<Kind> kinds_of(WeightFormat format, Dtype dtype) {
  if (format == dtype) return {Kind::weights};
  if (format == WeightFormat::bf16) return {Kind::weights, Kind::master};
  return {format == WeightFormat::fp16 ? Kind::master : Kind::weights};
}

std::uint64_t width_of(WeightFormat format, Kind kind) {
  return kind == Kind::weights ? optim::weight_bytes(format) : optim::master_bytes(format);
}

// By object, then by element, so that what belongs together comes together.
std::vector<store::Checksum> pieces_of(const store::Store& store, WeightFormat format, const std::vector<Kind>& kinds, const std::vector<std::uint32_t>& objects) {
  std::vector<store::Checksum> pieces;
  for (const store::Checksum& checksum : store.checksums()) {
    if (!objects.empty() && std::find(objects.begin(), objects.end(), checksum.extent.object) == objects.end()) continue;
    const bool stands_for_master = checksum.extent.kind == Kind::weights && !checkpoint::has_master(store, checksum.extent.object);
    if (stands_for_master || std::find(kinds.begin(), kinds.end(), checksum.extent.kind) != kinds.end()) pieces.push_back(checksum);
  }
  if (pieces.empty()) {
    core::throw_storage("read the weights of", "run " + store.run_id(), "its commit holds no checksums", "train on, which stores them");
  }
  const auto place = [&](const store::Checksum& piece) {
    const store::Extent& e = piece.extent;
    return std::tuple(e.object, e.offset / width_of(format, e.kind), e.kind);
  };
  std::sort(pieces.begin(), pieces.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
  return pieces;
}

// Bytes of one kind that came and were not used yet.
class Queue {
 public:
  void push(std::span<const std::byte> bytes) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ = 0;
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  [[nodiscard]] std::uint64_t size() const { return bytes_.size() - used_; }
  const std::byte* take(std::uint64_t size) {
    const std::byte* taken = bytes_.data() + used_;
    used_ += size;
    return taken;
  }

 private:
  std::vector<std::byte> bytes_;
  std::size_t used_ = 0;
};

class Reader {
 public:
  Reader(store::Store& store, WeightFormat format, Dtype dtype, const ElementVisitor& visit)
      : store_(store), format_(format), dtype_(dtype), visit_(visit), kinds_(kinds_of(format, dtype)) {}

  void run(const std::vector<std::uint32_t>& objects) {
    const std::vector<store::Checksum> pieces = pieces_of(store_, format_, kinds_, objects);
    store_.read_committed(pieces, [&](std::size_t piece, std::span<const std::byte> bytes) { take(pieces[piece].extent, bytes); });
  }

 private:
  void take(const store::Extent& extent, std::span<const std::byte> bytes) {
    if (extent.object != object_) {
      object_ = extent.object;
      first_ = 0;
    }
    if (format_ != Dtype::fp32 && format_ != dtype_ && !checkpoint::has_master(store_, extent.object)) return give_frozen(bytes);
    if (kinds_.size() == 1) return give(bytes.data(), nullptr, bytes.size() / width_of(format_, kinds_[0]));
    queues_[extent.kind].push(bytes);
    constexpr std::uint64_t kWidth = 2;  // of a bf16 weight and of its remainder
    const std::uint64_t elements = std::min(queues_[Kind::weights].size(), queues_[Kind::master].size()) / kWidth;
    if (elements > 0) give(queues_[Kind::weights].take(elements * kWidth), queues_[Kind::master].take(elements * kWidth), elements);
  }

  void give_frozen(std::span<const std::byte> weights) {
    const std::uint64_t elements = weights.size() / optim::weight_bytes(format_);
    widened_.resize(elements);
    optim::widen(format_, {reinterpret_cast<const std::uint16_t*>(weights.data()), elements}, widened_);
    visit_(object_, first_, converted(reinterpret_cast<const std::byte*>(widened_.data()), nullptr, elements));
    first_ += elements;
  }

  void give(const std::byte* weights, const std::byte* remainders, std::uint64_t elements) {
    visit_(object_, first_, format_ == dtype_ ? std::span(weights, elements * hf::size_of(dtype_)) : converted(weights, remainders, elements));
    first_ += elements;
  }

  std::span<const std::byte> converted(const std::byte* weights, const std::byte* remainders, std::uint64_t elements) {
    std::span<const float> master(reinterpret_cast<const float*>(weights), elements);
    if (remainders != nullptr) {
      master_.resize(elements);
      optim::join_master({reinterpret_cast<const std::uint16_t*>(weights), elements},
                         {reinterpret_cast<const std::int16_t*>(remainders), elements}, master_);
      master = master_;
    }
    if (dtype_ == Dtype::fp32) return std::as_bytes(master);
    narrow_.resize(elements);
    if (dtype_ == Dtype::bf16) {
      remainder_.resize(elements);
      optim::split_master(master, narrow_, remainder_);
    } else {
      refuse_too_large(master);
      optim::to_fp16(master, narrow_);
    }
    return std::as_bytes(std::span<const std::uint16_t>(narrow_));
  }

  void refuse_too_large(std::span<const float> master) const {
    if (optim::storable(WeightFormat::fp16, master)) return;
    throw Error(
        ErrorKind::usage,
        fmt::format("--dtype fp16: a weight (of object {} on SSD) is 65520 or more, which fp16 has no number for; choose bf16 or fp32", object_));
  }

  store::Store& store_;
  const WeightFormat format_;
  const Dtype dtype_;
  const ElementVisitor& visit_;
  const std::vector<Kind> kinds_;
  std::map<Kind, Queue> queues_;
  std::uint32_t object_ = 0;
  std::uint64_t first_ = 0;
  std::vector<float> master_;
  std::vector<float> widened_;
  std::vector<std::uint16_t> narrow_;
  std::vector<std::int16_t> remainder_;
};

}  // namespace

void visit_committed_elements(store::Store& store, WeightFormat format, Dtype dtype, const ElementVisitor& visit, const std::vector<std::uint32_t>& objects) {
  Reader(store, format, dtype, visit).run(objects);
}

}  // namespace gsnake::convert
