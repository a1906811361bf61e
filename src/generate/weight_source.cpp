#include "generate/weight_source.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "convert/tensor_reader.h"
#include "core/bytes.h"
#include "hf/refusal.h"
#include "memory/anonymous.h"
#include "optim/formats.h"
#include "plan/compute_dtype.h"
#include "schedule/problem.h"

namespace gsnake::generate {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kElementsAtOnce = 1ULL << 22;  // of a tensor of a folder

std::uint64_t flat_bytes(const plan::ModelLayout& layout, std::size_t object, Dtype dtype) {
  return core::round_up(schedule::padded_elements(layout.flat(object).elements) * plan::dtype_bytes(dtype), kPage);
}

template <typename T>
std::span<T> as(std::byte* data, std::uint64_t elements) {
  return {reinterpret_cast<T*>(data), elements};
}

class CommittedWeights final : public WeightSource {
 public:
  CommittedWeights(store::Store& store, const plan::ModelLayout& layout, Dtype stored, Dtype computed, const base::Base* base)
      : store_(store), layout_(layout), stored_(stored), computed_(computed), base_(base), pieces_(layout.object_count()) {
    for (const store::Checksum& piece : store.checksums()) {
      if (piece.extent.kind == store::Kind::weights && piece.extent.object < pieces_.size()) pieces_[piece.extent.object].push_back(piece);
    }
    for (auto& pieces : pieces_) std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.extent.offset < b.extent.offset; });
  }

  [[nodiscard]] std::uint64_t bytes(int object) const override {
    const auto o = static_cast<std::size_t>(object);
    return layout_.is_packed(o) ? layout_.shape(layout_.unit_of(o)).packed_bytes : flat_bytes(layout_, o, computed_);
  }
  [[nodiscard]] std::uint64_t stored_bytes(int object) const override {
    const auto o = static_cast<std::size_t>(object);
    return layout_.is_packed(o) ? bytes(object) : stored_extent(object).bytes;
  }

  void read(int object, std::byte* memory) override {
    const auto o = static_cast<std::size_t>(object);
    if (layout_.is_packed(o)) return base_->read(static_cast<int>(layout_.unit_of(o)), 0, {memory, bytes(object)});
    if (pieces_[o].empty()) return read_unchecked(object, memory);
    std::uint64_t done = 0;
    store_.read_committed(pieces_[o], [&](std::size_t, std::span<const std::byte> block) {
      put(object, done, block, memory);
      done += block.size();
    });
  }

 private:
  [[nodiscard]] store::Extent stored_extent(int object) const {
    const auto& bytes = store_.layout().kinds[core::index_of(store::Kind::weights)].padded_bytes;
    return {store::Kind::weights, static_cast<std::uint32_t>(object), 0, bytes.at(static_cast<std::size_t>(object))};
  }

  // A commit of a program that stores no checksums.
  void read_unchecked(int object, std::byte* memory) {
    const store::Extent whole = stored_extent(object);
    const memory::AnonymousMemory block(whole.bytes);
    store_.read(whole, store_.committed_slot(), block.data());
    put(object, 0, {block.data(), whole.bytes}, memory);
  }

  // Bytes as they are stored, from the object's byte `begin` on; of several ranks' parts, what pads them goes beyond what is computed with.
  void put(int object, std::uint64_t begin, std::span<const std::byte> stored, std::byte* memory) const {
    const std::uint64_t width = plan::dtype_bytes(stored_);
    const std::uint64_t first = begin / width;
    const std::uint64_t all = bytes(object) / plan::dtype_bytes(computed_);
    if (first >= all) return;
    const std::uint64_t count = std::min<std::uint64_t>(stored.size() / width, all - first);
    if (stored_ == computed_) {
      std::memcpy(memory + begin, stored.data(), count * width);
    } else {
      optim::widen(stored_, {reinterpret_cast<const std::uint16_t*>(stored.data()), count}, as<float>(memory, all).subspan(first, count));
    }
  }

  store::Store& store_;
  const plan::ModelLayout& layout_;
  const Dtype stored_;
  const Dtype computed_;
  const base::Base* const base_;
  std::vector<std::vector<store::Checksum>> pieces_;  // by object, in order
};

class FolderWeights final : public WeightSource {
 public:
  FolderWeights(const convert::ImportPlan& plan, const plan::ModelLayout& layout, Dtype computed) : plan_(plan), layout_(layout), computed_(computed) {}

  [[nodiscard]] std::uint64_t bytes(int object) const override { return flat_bytes(layout_, static_cast<std::size_t>(object), computed_); }
  [[nodiscard]] std::uint64_t stored_bytes(int object) const override {
    std::uint64_t bytes = 0;
    for (const convert::ParameterSource& source : plan_[static_cast<std::size_t>(object)]) bytes += source.source->tensor.bytes;
    return bytes;
  }

  void read(int object, std::byte* memory) override {
    const auto o = static_cast<std::size_t>(object);
    const std::vector<optim::FlatParameter>& parameters = layout_.flat(o).parameters;
    const std::uint64_t width = plan::dtype_bytes(computed_);
    std::uint64_t filled = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::uint64_t begin = parameters[i].offset * width;
      std::memset(memory + filled, 0, begin - filled);
      read(plan_[o][i], memory + begin, parameters[i].info.numel);
      filled = begin + parameters[i].info.numel * width;
    }
    std::memset(memory + filled, 0, bytes(object) - filled);
  }

 private:
  // In pieces, so that no more of the file than that is resident.
  void read(const convert::ParameterSource& source, std::byte* to, std::uint64_t elements) const {
    convert::TensorReader reader(source);
    for (std::uint64_t done = 0; done < elements; done += kElementsAtOnce) {
      const std::uint64_t count = std::min(kElementsAtOnce, elements - done);
      if (computed_ != Dtype::fp32) {
        reader.copy(done, {to + done * plan::dtype_bytes(computed_), count * plan::dtype_bytes(computed_)});
        continue;
      }
      const std::span<float> values = as<float>(to, elements).subspan(done, count);
      reader.read(done, values);
      if (!optim::storable(Dtype::fp32, values)) hf::refuse(source.source->file->path(), fmt::format("tensor {} holds a value that is not finite", hf::shown(source.source->tensor.name)));
    }
  }

  const convert::ImportPlan& plan_;
  const plan::ModelLayout& layout_;
  const Dtype computed_;
};

}  // namespace

std::unique_ptr<WeightSource> committed_weights(store::Store& store, const plan::ModelLayout& layout, Dtype stored, Dtype computed, const base::Base* base) {
  return std::make_unique<CommittedWeights>(store, layout, stored, computed, base);
}

std::unique_ptr<WeightSource> folder_weights(const convert::ImportPlan& plan, const plan::ModelLayout& layout, Dtype computed) {
  return std::make_unique<FolderWeights>(plan, layout, computed);
}

}  // namespace gsnake::generate
