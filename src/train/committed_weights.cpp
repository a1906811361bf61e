#include "train/committed_weights.h"

#include <map>

#include "checkpoint/master_weights.h"
#include "checkpoint/rank_folders.h"
#include "checkpoint/store_options.h"
#include "convert/base_values.h"
#include "core/bytes.h"

namespace gsnake::train {
namespace {

// All ranks' shares as one, for reading.
std::unique_ptr<store::Store> open_whole(const Config& config) {
  store::StoreOptions options = checkpoint::store_options(config);
  options.run_dir = config.run.dir;
  options.ssd_paths = config.ssd.paths;
  return checkpoint::open_reader(options);
}

}  // namespace

std::vector<float> committed_weights(const Session& session, std::int64_t unit) {
  const std::unique_ptr<store::Store> whole = session.config.ranks.count > 1 ? open_whole(session.config) : nullptr;
  store::Store& store = whole ? *whole : *session.store;
  std::map<std::size_t, std::vector<float>> by_index;  // padded as in the result
  for (const int object : session.layout.own_objects_of(static_cast<int>(unit))) {
    if (session.layout.is_packed(static_cast<std::size_t>(object))) {
      for (const optim::FlatParameter& parameter : session.layout.flat(static_cast<std::size_t>(object)).parameters) {
        std::vector<float>& values = by_index[parameter.index];
        values.resize(core::round_up(parameter.info.numel, optim::kParameterAlignment));
        convert::BaseValues(*session.base, static_cast<int>(unit), parameter.info.name).read(0, std::span(values).first(parameter.info.numel));
      }
      continue;
    }
    const std::vector<float> master = checkpoint::read_master(store, session.numerics.optimizer.weights, static_cast<std::uint32_t>(object), store.committed_slot());
    for (const optim::FlatParameter& parameter : session.layout.flat(static_cast<std::size_t>(object)).parameters) {
      const auto first = master.begin() + static_cast<std::ptrdiff_t>(parameter.offset);
      by_index.try_emplace(parameter.index, first, first + static_cast<std::ptrdiff_t>(core::round_up(parameter.info.numel, optim::kParameterAlignment)));
    }
  }
  std::vector<float> all;
  for (const auto& [index, values] : by_index) all.insert(all.end(), values.begin(), values.end());
  return all;
}

}  // namespace gsnake::train
