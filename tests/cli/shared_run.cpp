#include "cli/shared_run.h"

#include <memory>

#include "checkpoint/rank_folders.h"
#include "checkpoint/reshard.h"
#include "checkpoint/run_state.h"
#include "greedysnake/ranks.h"
#include "runtime/store_layout.h"
#include "store/opening/replaced.h"

namespace gsnake::test {
namespace {

// The objects of a run of bf16 or fp32 weights, as its commit tells of them.
schedule::Problem problem_of(const store::Store& whole, int rank, int ranks) {
  const std::vector<std::uint64_t> elements = checkpoint::run_state_from(whole.manifest()->training).elements;
  const auto width = [&](store::Kind kind, std::size_t object) {
    const std::vector<std::uint64_t>& bytes = whole.layout().kinds[core::index_of(kind)].padded_bytes;
    return object < bytes.size() ? bytes[object] / schedule::padded_elements(elements[object]) : 0;
  };
  schedule::Problem problem;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    schedule::Object object;
    object.elements = elements[i];
    object.weight_bytes = width(store::Kind::weights, i);
    object.trained = !whole.layout().kinds[core::index_of(store::Kind::weights)].is_frozen(static_cast<std::uint32_t>(i));
    object.master = width(store::Kind::master, i) > 0;
    object.state_bytes.clear();
    for (const store::Kind kind : {store::Kind::master, store::Kind::moment1, store::Kind::moment2}) {
      if (width(kind, i) > 0) object.state_bytes.push_back(width(kind, i));
    }
    schedule::add_unit(problem, std::move(object));
  }
  problem.activation_bytes = problem.ids_bytes = 4096;
  problem.chunk_elements = 7 * schedule::kGrain;
  schedule::share_out(problem, rank, ranks);
  return problem;
}

}  // namespace

void share_among(const std::string& run_dir, const std::vector<std::string>& ssd_paths, int ranks) {
  const std::vector<checkpoint::RunFound> found = checkpoint::find_runs(run_dir, ssd_paths);
  store::ReplacedRun replaced(checkpoint::choose_run(found, 1)->folders, {.names_in_run_dir = {"hf-carried"}});
  store::StoreOptions reading;
  reading.run_dir = run_dir;
  reading.ssd_paths = ssd_paths;
  {
    const std::unique_ptr<store::Store> whole = checkpoint::open_reader(reading);
    std::vector<std::unique_ptr<store::Store>> stores;
    std::vector<store::PreparedCommit> prepared;
    for (int rank = 0; rank < ranks; ++rank) {
      const RanksConfig own{.rank = rank, .count = ranks, .local_rank = rank, .local_count = ranks};
      store::StoreOptions options;
      options.run_dir = own_folder(run_dir, own);
      for (const std::string& path : ssd_paths) options.ssd_paths.push_back(own_folder(path, own));
      const schedule::Map map = schedule::make_map(problem_of(*whole, rank, ranks), {});
      stores.push_back(store::Store::create(options, runtime::store_layout(map.problem, 2)));
      const checkpoint::Resharded made = checkpoint::reshard(*whole, *stores.back(), map, own, {});
      prepared.push_back(stores.back()->prepare({0, made.training, made.checksums}));
    }
    for (std::size_t rank = 0; rank < stores.size(); ++rank) stores[rank]->publish(prepared[rank]);
  }
  replaced.remove();
}

}  // namespace gsnake::test
