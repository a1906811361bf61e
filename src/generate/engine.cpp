#include "generate/engine.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint/base_folder.h"
#include "checkpoint/rank_folders.h"
#include "checkpoint/store_options.h"
#include "core/bytes.h"
#include "core/log.h"
#include "device/named_device.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "hf/model_config.h"
#include "model/layout.h"
#include "plan/base_layout.h"
#include "plan/compute_dtype.h"
#include "plan/requirements.h"
#include "plan/store_layout.h"
#include "plan/temporaries.h"
#include "torch/trial_call.h"
#include "train/compute_shape.h"
#include "train/session.h"

namespace gsnake::generate {
namespace {

constexpr std::int64_t kLeastPartTokens = 16;  // where memory is short

constexpr std::uint64_t kMostStreamBytes = 8ULL << 20;  // more would not make a drive busier

// Of reads of a run, on their way: a quarter of the host's budget at the most.
std::uint64_t stream_bytes(const Config& config) { return std::min(plan::stream_bytes(config), kMostStreamBytes); }

Dtype computed_dtype(const Config& config) { return plan::resolve_compute_dtype(config.train.dtype, config.train.compute_dtype, plan::native_dtypes(config)); }

backend::ComputeShape shape_of(const Config& config, backend::DeviceSupport* accelerator) {
  backend::ComputeShape shape = train::compute_shape(config, plan::Purpose::sample, accelerator);
  shape.packed = false;
  shape.wide_weights = true;
  return shape;
}

void apply(const ModelOptions& options, Config& config) {
  if (!options.device.empty()) config.memory.device = options.device;
  if (options.device_budget != 0) config.memory.device_budget = options.device_budget;
  if (options.host_budget != 0) config.memory.host_budget = options.host_budget;
  device::require_device(config.memory.device);  // before LibTorch asks itself whether it has CUDA, and remembers
  if (config.memory.device != "cpu") config.train.compute_dtype = ComputeDtype::automatic;
  config.validate();
}

// On a GPU bf16 stays bf16; else what the folder says is computed with exactly.
Dtype dtype_of(const hf::WeightsFolder& folder, const std::string& device) {
  const auto is_bf16 = [](const auto& tensor) { return tensor.second.tensor.known_dtype() == hf::Dtype::bf16; };
  return device != "cpu" && std::all_of(folder.tensors().begin(), folder.tensors().end(), is_bf16) ? Dtype::bf16 : Dtype::fp32;
}

}  // namespace

Engine::Engine(Config config, Model model, const train::Parts& parts)
    : config_(std::move(config)), torch_(train::set_up_torch(config_)), computes_on_(parts.make_device(config_)), on_host_(computes_on_.device->name() == "cpu"), model_(std::move(model)), base_(plan::open_base(config_)),
      layout_(train::layout_of(model_, config_, base_)), shape_(shape_of(config_, computes_on_.support.get())) {
  backend_ = std::make_unique<backend::TorchBackend>(model_, layout_, shape_);
  has_cache_ = std::all_of(model_.units.begin(), model_.units.end() - 1, [&](int kind) { return dynamic_cast<CachedUnit*>(model_.kinds[static_cast<std::size_t>(kind)].module.get()) != nullptr; });
}

Engine::~Engine() = default;

std::unique_ptr<Engine> Engine::of_run(std::optional<Model> model, const std::string& run_dir, const ModelOptions& options, const train::Parts& parts) {
  Config config = run_config(run_dir, options.ssd_paths);
  apply(options, config);
  Model made = model ? *std::move(model) : models::make(config);
  std::unique_ptr<Engine> engine(new Engine(std::move(config), std::move(made), parts));
  store::StoreOptions storage = checkpoint::store_options(engine->config_);
  storage.stream_bytes = stream_bytes(engine->config_);
  storage.cpus = engine->computes_on_.device->host_side().near.cpus;
  storage.base = plan::base_file(engine->base_, engine->layout_);
  engine->store_ = checkpoint::open_reader(storage);
  checkpoint::refuse_other_base(engine->store_->manifest()->training, engine->base_ ? engine->base_->manifest().id : "", engine->config_);
  engine->source_ = committed_weights(*engine->store_, engine->layout_, engine->config_.train.dtype, computed_dtype(engine->config_), engine->base_ ? &*engine->base_ : nullptr);
  engine->set_context(engine->config_.train.sequence_length, options);
  return engine;
}

std::unique_ptr<Engine> Engine::of_folder(const std::string& folder, const ModelOptions& options, const train::Parts& parts) {
  const std::string context = std::to_string(hf::read_model_config(folder).context);
  Config config = Config::parse("", ".", {"model.from=" + nlohmann::json(folder).dump(), "train.sequence_length=" + context});
  hf::WeightsFolder weights(folder);
  config.train.dtype = dtype_of(weights, options.device.empty() ? "cpu" : options.device);
  apply(options, config);
  Model model = models::make(config.model);
  std::unique_ptr<Engine> engine(new Engine(std::move(config), std::move(model), parts));
  engine->folder_.emplace(std::move(weights));
  engine->import_ = convert::make_import_plan(engine->model_, engine->layout_, *engine->folder_);
  engine->source_ = folder_weights(engine->import_, engine->layout_, engine->config_.train.dtype);
  engine->set_context(engine->config_.model.context, options);
  return engine;
}

void Engine::set_context(std::int64_t usual, const ModelOptions& options) {
  context_ = options.context == 0 ? usual : options.context;
  if (context_ < 1 || context_ > model_.max_context) throw Error(ErrorKind::usage, fmt::format("a context of {} tokens: must be 1 to {}, the model's", context_, model_.max_context));
}

bool Engine::serves(const Demand& demand) const {
  if (!runner_ || runner_->broken() || demand.capacities.empty() != demand_.capacities.empty() || demand.capacities.size() > demand_.capacities.size()) return false;
  return std::equal(demand.capacities.begin(), demand.capacities.end(), demand_.capacities.begin(), [](std::int64_t asked, std::int64_t there) { return asked <= there; }) &&
         demand.tokens <= demand_.tokens && demand.parts <= demand_.parts && demand.longest <= demand_.longest && demand.result_bytes <= demand_.result_bytes;
}

CacheShape Engine::cache_shape(const Demand& demand) const {
  CacheShape shape{std::vector<std::int64_t>(model_.units.size(), 0), demand.capacities, shape_.compute, shape_.device()};
  if (demand.capacities.empty()) return shape;
  for (std::size_t unit = 0; unit + 1 < model_.units.size(); ++unit) {
    shape.numbers[unit] = dynamic_cast<CachedUnit&>(*model_.kinds[static_cast<std::size_t>(model_.units[unit])].module).cached_numbers();
  }
  return shape;
}

MemoryNeeds Engine::needs_of(const Demand& demand) const {
  MemoryNeeds needs;
  needs.reads_through_host = !on_host_;
  for (std::size_t object = 0; object < layout_.object_count(); ++object) needs.objects.push_back(source_->bytes(static_cast<int>(object)));
  for (std::size_t unit = 0; unit < layout_.units.size(); ++unit) needs.uses.push_back(layout_.objects_of(static_cast<int>(unit)));
  if (layout_.tied) needs.first_to_stay = layout_.tied_object;
  const CacheShape cache = cache_shape(demand);
  for (std::size_t unit = 0; unit < layout_.units.size(); ++unit) needs.caches.push_back(cache.bytes(unit));
  if (!demand.capacities.empty()) {
    const std::size_t texts = demand.capacities.size();
    const std::int64_t longest = *std::max_element(demand.capacities.begin(), demand.capacities.end());
    CacheShape of_longest = cache;
    of_longest.capacities = {longest};
    for (std::size_t unit = 0; unit < layout_.units.size(); ++unit) needs.longest_cache = std::max(needs.longest_cache, of_longest.bytes(unit));
    needs.caches_detail = fmt::format("{} {} of up to {} tokens", texts, texts == 1 ? "text" : "texts", longest);
  }
  const std::uint64_t row_bytes = static_cast<std::uint64_t>(layout_.hidden) * c10::elementSize(shape_.storage);
  needs.fixed.push_back({"device", "hidden states", shape_of_pass_.state_bytes(row_bytes) + shape_of_pass_.id_bytes(), fmt::format("{} tokens at once", shape_of_pass_.tokens)});
  needs.fixed.push_back({"host", "buffers for reads and ids", stream_bytes(config_) + shape_of_pass_.id_bytes(), ""});
  needs.host_growth = kMostStreamBytes - stream_bytes(config_);
  needs.fixed.push_back({"host", "results of a pass", demand.result_bytes, ""});
  const std::uint64_t width = c10::elementSize(shape_.compute);
  const std::uint64_t dequantised = plan::dequantised_elements(layout_, shape_.most_dequantised, width).bytes(width);
  needs.fixed.push_back({"device", "dequantised weights", dequantised, "of a unit, or of a part of one"});
  return needs;
}

std::optional<std::uint64_t> Engine::peak_of(const Demand& demand, int unit, std::int64_t tokens, std::int64_t past, std::uint64_t most_bytes) {
  device::Device& device = *computes_on_.device;
  const backend::DryRun dry{false, 1, tokens, config_.train.head_chunk, most_bytes, {}};
  if (demand.capacities.empty() || unit + 1 == static_cast<int>(layout_.units.size())) return backend_->rehearse(device, dry, unit);
  CacheShape one = cache_shape(demand);
  one.capacities = {past + tokens};
  const std::int64_t numbers = one.numbers[static_cast<std::size_t>(unit)];
  one.numbers.assign(one.numbers.size(), 0);
  one.numbers[static_cast<std::size_t>(unit)] = numbers;
  const CacheMemory kept(one, std::vector<Tier>(one.numbers.size(), Tier::device), device, on_host_);
  const device::DeviceMemory places = device.device_alloc(static_cast<std::uint64_t>(tokens) * sizeof(std::int64_t));
  std::optional<model::KeptTokens> cache;
  // A part of several texts stands for one of them all, which may be longer than any text can be: no place is beyond the model's.
  const std::int64_t positions_end = std::min(past + tokens, model_.max_context);
  backend::TrialCall::run(device, [&](const device::ComputeScope& scope) {
    const torch::Tensor positions = model::over(scope.address(places.data()), {tokens}, torch::kInt64, shape_.device());
    positions.copy_(torch::arange(past, past + tokens, positions.options()).remainder(positions_end));
    cache.emplace(positions, positions_end);
    cache->texts.push_back({tokens, past, numbers > 0 ? kept.of(scope, unit, 0) : torch::Tensor()});
  });
  const backend::TokenCacheScope with_cache(*backend_, *cache);
  return backend_->rehearse(device, dry, unit);
}

// Of any unit, for parts of so many tokens: a text's first ones, and its last.
std::optional<std::uint64_t> Engine::peak(const Demand& demand, std::int64_t tokens, std::uint64_t most_bytes) {
  std::uint64_t most = 0;
  const std::int64_t longest = demand.capacities.empty() ? tokens : *std::max_element(demand.capacities.begin(), demand.capacities.end());
  for (const int unit : layout_.one_of_each_shape()) {
    for (const std::int64_t past : {std::int64_t{0}, std::max<std::int64_t>(0, longest - tokens)}) {
      const std::optional<std::uint64_t> bytes = peak_of(demand, unit, tokens, past, most_bytes);
      if (!bytes) return std::nullopt;
      most = std::max(most, *bytes);
      if (longest <= tokens) break;
    }
  }
  return most;
}

// What LibTorch's temporaries take, of parts of so many tokens; nothing where it is more than `most_bytes`.
std::optional<std::uint64_t> Engine::temporaries(const Demand& demand, std::int64_t tokens, std::uint64_t most_bytes) {
  const auto bytes = peak(demand, tokens, most_bytes);
  return bytes ? std::optional(plan::charge_of(*bytes)) : std::nullopt;
}

// In parts as large as the budgets allow.
void Engine::find_place(const Demand& demand) {
  shape_of_pass_ = {demand.tokens, demand.parts, 1};
  MemoryNeeds needs = needs_of(demand);
  if (!has_room_for_dry_runs(config_.memory, needs)) {
    needs.lacks_temporaries = true;
    refuse(config_.memory, needs);
  }
  backend_->set_head_sink([&](HeadUnit& head, const torch::Tensor& hidden) { demand.head(head, hidden); });
  const bool is_cut = !demand.capacities.empty();
  std::int64_t& tokens = shape_of_pass_.part_tokens;
  for (tokens = is_cut ? std::min(demand.tokens, most_part_tokens_) : demand.longest;; tokens /= 2) {
    shape_of_pass_.parts = is_cut ? core::ceil_div(static_cast<std::uint64_t>(demand.tokens), static_cast<std::uint64_t>(tokens)) : demand.parts;
    needs = needs_of(demand);
    const std::uint64_t room = room_beside(config_.memory, needs);
    const auto add_temporaries = [&](std::uint64_t bytes) { needs.fixed.push_back({"device", "LibTorch's temporaries", bytes, fmt::format("of {} tokens, by a dry run of each kind of unit", tokens)}); };
    const std::optional<std::uint64_t> bytes = temporaries(demand, tokens, plan::peak_within(room));
    if (bytes) {
      add_temporaries(*bytes);
      if (std::optional<GenerationMemory> placed = place(config_.memory, needs)) {
        memory_ = *std::move(placed);
        backend_->cap_temporaries(*bytes);
        return;
      }
    }
    if (is_cut && tokens > kLeastPartTokens) continue;
    if (!bytes) add_temporaries(std::max(room, temporaries(demand, tokens, memory::Room::kEndless / 2).value_or(room)));
    refuse(config_.memory, needs);
  }
}

void Engine::prepare(const Demand& demand) {
  if (serves(demand)) return;
  stored_before_ = stored_bytes();
  runner_.reset();
  cache_.reset();
  feed_.reset();
  find_place(demand);
  malloc_trim(0);
  device::Device& device = *computes_on_.device;
  const core::KeptTo as_its_threads(device.host_side().near.cpus);
  feed_ = std::make_unique<WeightFeed>(*source_, device, layout_, memory_.weights, on_host_);
  if (!demand.capacities.empty()) cache_ = std::make_unique<CacheMemory>(cache_shape(demand), memory_.caches, device, on_host_);
  runner_ = std::make_unique<PassRunner>(layout_, *backend_, shape_, device, *feed_, cache_.get(), shape_of_pass_);
  demand_ = demand;
  for (const MemoryItem& item : memory_.items) spdlog::debug("{} memory: {}, {}{}{}", item.tier, item.name, core::format_bytes(item.bytes), item.detail.empty() ? "" : ": ", item.detail);
}

}  // namespace gsnake::generate
