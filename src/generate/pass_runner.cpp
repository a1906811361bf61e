#include "generate/pass_runner.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "core/bytes.h"
#include "model/binding.h"

namespace gsnake::generate {
namespace {

constexpr std::uint64_t kAlignment = 256;  // of a part's hidden states, as a device's own allocations have it

}  // namespace

std::uint64_t PassShape::state_bytes(std::uint64_t row_bytes) const { return static_cast<std::uint64_t>(tokens) * row_bytes + static_cast<std::uint64_t>(parts) * kAlignment; }
std::uint64_t PassShape::id_bytes() const { return 2 * (static_cast<std::uint64_t>(tokens) * sizeof(std::int64_t) + static_cast<std::uint64_t>(parts) * kAlignment); }

PassRunner::PassRunner(const plan::ModelLayout& layout, backend::TorchBackend& backend, const backend::ComputeShape& compute, device::Device& device, WeightFeed& feed,
                       CacheMemory* cache, const PassShape& shape)
    : layout_(layout), backend_(backend), compute_(compute), device_(device), feed_(feed), cache_(cache), shape_(shape),
      row_bytes_(static_cast<std::uint64_t>(layout.hidden) * c10::elementSize(compute.storage)), states_(device.device_alloc(shape.state_bytes(row_bytes_))),
      host_ids_(device.host_alloc(shape.id_bytes())), ids_(device.device_alloc(shape.id_bytes())), end_(device.make_event()) {
  if (cache != nullptr) most_positions_ = *std::max_element(cache->shape().capacities.begin(), cache->shape().capacities.end());
  backend_.set_head_sink([this](HeadUnit& head, const torch::Tensor& hidden) { (*sink_)(part_, head, hidden); });
}

// Where parts are, and what the cache is to hold.
void PassRunner::place(std::span<const Part> parts) {
  parts_ = parts;
  state_offset_.clear();
  id_offset_.clear();
  growth_.clear();
  std::uint64_t state = 0;
  std::uint64_t id = 0;
  std::int64_t tokens = 0;
  for (const Part& part : parts) {
    state_offset_.push_back(state);
    id_offset_.push_back(id);
    const auto count = static_cast<std::uint64_t>(part.ids.size());
    state = core::round_up(state + count * row_bytes_, kAlignment);
    id = core::round_up(id + count * sizeof(std::int64_t), kAlignment);
    tokens += static_cast<std::int64_t>(count);
    for (const TextPiece& piece : part.pieces) {
      const auto known = std::find_if(growth_.begin(), growth_.end(), [&](const TextGrowth& text) { return text.text == piece.text; });
      if (known == growth_.end()) {
        growth_.push_back({piece.text, piece.past, piece.past + piece.tokens});
      } else {
        known->after = piece.past + piece.tokens;
      }
    }
  }
  if (tokens > shape_.tokens || static_cast<std::int64_t>(parts.size()) > shape_.parts) throw std::logic_error("a pass has more tokens than were planned");
}

void PassRunner::run(std::span<const Part> parts, const HeadSink& sink) {
  broken_ = true;  // unless it comes to its end
  place(parts);
  sink_ = &sink;
  const std::uint64_t positions = shape_.id_bytes() / 2;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    std::memcpy((host_ids_.data() + id_offset_[p]).get(), parts[p].ids.data(), parts[p].ids.size() * sizeof(std::int64_t));
    auto* position = (host_ids_.data() + positions + id_offset_[p]).as<std::int64_t>();
    for (const TextPiece& piece : parts[p].pieces) {
      std::iota(position, position + piece.tokens, piece.past);
      position += piece.tokens;
    }
  }
  try {
    compute_all(parts.size());
  } catch (...) {
    try {
      finish();  // what was begun looks at the caller's parts and sink
    } catch (...) {  // the first failure is what is told
    }
    throw;
  }
  finish();
  broken_ = false;
}

void PassRunner::compute_all(std::size_t parts) {
  device::Stream& stream = device_.stream(device::StreamKind::compute);
  stream.copy(ids_.data(), host_ids_.data(), shape_.id_bytes());
  for (int unit = 0; unit < static_cast<int>(layout_.units.size()); ++unit) {
    const std::span<const runtime::UsedObject> uses = feed_.open(unit);
    if (cache_ != nullptr) cache_->bring(unit, growth_);
    for (std::size_t p = 0; p < parts; ++p) {
      stream.compute([this, unit, p, uses](const device::ComputeScope& scope) { compute(scope, unit, p, uses); });
    }
    if (cache_ != nullptr) cache_->take_back(unit, growth_);
    feed_.close(unit);
  }
}

void PassRunner::finish() {
  device_.stream(device::StreamKind::compute).record(*end_);
  end_->wait();
}

std::vector<model::CachedText> PassRunner::cached_texts(const device::ComputeScope& scope, int unit, const Part& part) const {
  std::vector<model::CachedText> texts;
  for (const TextPiece& piece : part.pieces) {
    const bool keeps = cache_->shape().numbers[static_cast<std::size_t>(unit)] > 0;
    texts.push_back({piece.tokens, piece.past, keeps ? cache_->of(scope, unit, piece.text) : torch::Tensor()});
  }
  return texts;
}

void PassRunner::compute(const device::ComputeScope& scope, int unit, std::size_t part, std::span<const runtime::UsedObject> uses) {
  const auto tokens = static_cast<std::int64_t>(parts_[part].ids.size());
  runtime::ComputeCall call;
  call.op = unit + 1 == static_cast<int>(layout_.units.size()) ? schedule::Op::head_forward : schedule::Op::forward;
  call.unit = unit;
  call.training = false;
  call.opens = part == 0;
  call.uses = uses;
  call.ids = ids_.data() + id_offset_[part];
  call.input = call.output = at(part);
  part_ = part;
  backend_.set_tokens(tokens);
  if (cache_ == nullptr) return backend_.run(scope, call);
  const device::DevicePtr positions = call.ids + shape_.id_bytes() / 2;
  model::KeptTokens cache(model::over(scope.address(positions), {tokens}, torch::kInt64, compute_.device()), most_positions_);
  cache.texts = cached_texts(scope, unit, parts_[part]);
  const backend::TokenCacheScope with_cache(backend_, cache);
  backend_.run(scope, call);
}

}  // namespace gsnake::generate
