#include "checkpoint/store_options.h"

#include <cstdlib>

#include "core/log.h"
#include "greedysnake/ranks.h"
#include "plan/store_layout.h"

namespace gsnake::checkpoint {

bool hashes_state() {
  static const bool hashes = [] {  // once: it is asked for twice a run
    if (std::getenv("GSNAKE_BENCH_WITHOUT_CHECKSUMS") == nullptr) return true;
    spdlog::warn("GSNAKE_BENCH_WITHOUT_CHECKSUMS is set: commits hold no checksums, and such a run can't be resumed");
    return false;
  }();
  return hashes;
}

store::StoreOptions store_options(const Config& config) {
  store::StoreOptions options;
  options.run_dir = own_folder(config.run.dir, config.ranks);
  for (const std::string& path : config.ssd.paths) options.ssd_paths.push_back(own_folder(path, config.ranks));
  options.stripe_weights = config.ssd.weights;
  options.engine = config.ssd.engine;
  // Both lanes' tasks in flight, each in as many pieces as stripes may cut it into.
  options.engine_options.depth = 512;
  options.stream_bytes = plan::stream_bytes(config);
  return options;
}

}  // namespace gsnake::checkpoint
