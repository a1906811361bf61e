#include "convert/merge.h"

#include <algorithm>

#include "convert/base_values.h"
#include "convert/committed_elements.h"
#include "convert/unit_adapters.h"
#include "model/adapters.h"
#include "plan/numerics.h"
#include "schedule/problem.h"

namespace gsnake::convert {
namespace {

constexpr std::uint64_t kElementsAtOnce = 1ULL << 20;

at::ScalarType rounded_to(Dtype dtype) { return dtype == Dtype::fp32 ? torch::kFloat32 : dtype == Dtype::bf16 ? torch::kBFloat16 : torch::kHalf; }

class Merger {
 public:
  Merger(const plan::ModelLayout& layout, store::Store& store, const base::Base* base, const Config& config, const Destinations& destinations, hf::ShardWriter& writer, Dtype dtype,
         const TransferProgress& progress)
      : layout_(layout), store_(store), base_(base), config_(config), destinations_(destinations), writer_(writer), dtype_(rounded_to(dtype)), width_(hf::size_of(dtype)),
        transposer_(writer, width_), progress_(progress) {}

  void unit(std::size_t unit) {
    for (const int object : layout_.own_objects_of(static_cast<int>(unit))) {
      const auto o = static_cast<std::size_t>(object);
      if (layout_.is_trained(o)) adapters_.emplace(layout_.flat(o), values_of(object), model::adapter_scaling(config_.adapter));
    }
    for (const int object : layout_.own_objects_of(static_cast<int>(unit))) add(object);
    adapters_.reset();
  }

 private:
  void visit(int object, const std::function<void(std::uint64_t first, std::span<const float> values)>& take) const {
    visit_committed_elements(
        store_, plan::numerics_of(config_).optimizer.weights, Dtype::fp32,
        [&](std::uint32_t, std::uint64_t first, std::span<const std::byte> values) {
          take(first, {reinterpret_cast<const float*>(values.data()), values.size() / sizeof(float)});
        },
        {static_cast<std::uint32_t>(object)});
  }

  std::vector<float> values_of(int object) const {
    std::vector<float> all;
    all.reserve(schedule::padded_elements(layout_.flat(static_cast<std::size_t>(object)).elements));
    visit(object, [&](std::uint64_t, std::span<const float> values) { all.insert(all.end(), values.begin(), values.end()); });
    return all;
  }

  void add_packed(std::size_t object) {
    std::vector<float> piece;
    for (std::size_t i = 0; i < layout_.flat(object).parameters.size(); ++i) {
      const optim::FlatParameter& parameter = layout_.flat(object).parameters[i];
      BaseValues values(*base_, static_cast<int>(layout_.unit_of(object)), parameter.info.name);
      for (std::uint64_t first = 0; first < parameter.info.numel; first += kElementsAtOnce) {
        piece.resize(std::min(kElementsAtOnce, parameter.info.numel - first));
        values.read(first, piece);
        collect(parameter, destinations_.by_object[object][i], piece);
      }
    }
  }

  void add(int object) {
    const auto o = static_cast<std::size_t>(object);
    if (layout_.is_packed(o)) return add_packed(o);
    visit(object, [&](std::uint64_t first, std::span<const float> values) {
      const std::uint64_t last = first + values.size();
      for (std::size_t i = 0; i < layout_.flat(o).parameters.size(); ++i) {
        const Destination& to = destinations_.by_object[o][i];
        const std::uint64_t begin = std::max(first, to.offset);
        const std::uint64_t end = std::min(last, to.offset + to.elements);
        if (to.wanted && begin < end) collect(layout_.flat(o).parameters[i], to, values.subspan(begin - first, end - begin));
      }
    });
  }

  // Whole rows are merged and written, what is left of one waits for the rest.
  void collect(const optim::FlatParameter& parameter, const Destination& to, std::span<const float> values) {
    const std::uint64_t columns = parameter.info.sizes.size() == 2 ? static_cast<std::uint64_t>(parameter.info.sizes[1]) : parameter.info.numel;
    const std::uint64_t most = std::max(columns, kElementsAtOnce / columns * columns);
    while (!values.empty()) {
      const std::size_t take = std::min<std::size_t>(values.size(), most - rows_.size());
      rows_.insert(rows_.end(), values.begin(), values.begin() + static_cast<std::ptrdiff_t>(take));
      values = values.subspan(take);
      if (rows_.size() == most || done_ + rows_.size() == parameter.info.numel) flush(parameter, to, columns);
    }
  }

  void flush(const optim::FlatParameter& parameter, const Destination& to, std::uint64_t columns) {
    if (adapters_) adapters_->merge(parameter.info.name, columns, done_ / columns, rows_);
    const torch::Tensor narrow = torch::from_blob(rows_.data(), {static_cast<std::int64_t>(rows_.size())}).to(dtype_);
    const std::span bytes(static_cast<const std::byte*>(narrow.const_data_ptr()), rows_.size() * width_);
    if (to.rows > 0) {
      transposer_.add(to, bytes);
    } else {
      writer_.write(to.tensor, done_ * width_, bytes);
    }
    done_ = done_ + rows_.size() == parameter.info.numel ? 0 : done_ + rows_.size();
    written_ += bytes.size();
    rows_.clear();
    if (progress_) progress_(written_, writer_.bytes());
  }

  const plan::ModelLayout& layout_;
  store::Store& store_;
  const base::Base* base_;
  const Config& config_;
  const Destinations& destinations_;
  hf::ShardWriter& writer_;
  const at::ScalarType dtype_;
  const std::uint64_t width_;
  Transposer transposer_;
  const TransferProgress& progress_;
  std::optional<UnitAdapters> adapters_;
  std::vector<float> rows_;  // of the parameter at hand, from done_ on
  std::uint64_t done_ = 0;   // of its elements
  std::uint64_t written_ = 0;
};

}  // namespace

void write_merged(const Model& model, const plan::ModelLayout& layout, store::Store& store, const base::Base* base, const Config& config,
                  const Destinations& destinations, hf::ShardWriter& writer, Dtype dtype, const TransferProgress& progress) {
  Merger merger(layout, store, base, config, destinations, writer, dtype, progress);
  for (std::size_t unit = 0; unit < model.units.size(); ++unit) merger.unit(unit);
}

}  // namespace gsnake::convert
