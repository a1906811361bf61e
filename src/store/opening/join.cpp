// Ranks' shares of a run as one store.
#include <algorithm>

#include "store/state.h"

namespace gsnake::store {
namespace {

std::vector<Layout> layouts_of(std::span<const std::unique_ptr<Store>> shares) {
  std::vector<Layout> layouts;
  for (const auto& share : shares) layouts.push_back(share->layout());
  return layouts;
}

// Where the pieces are in the whole; none where some rank's commit has none.
std::vector<Checksum> checksums_of(const Joined& joined) {
  std::vector<Checksum> all;
  for (std::size_t rank = 0; rank < joined.shares.size(); ++rank) {
    const std::vector<Checksum>& own = joined.shares[rank]->checksums();
    const bool has_state = std::any_of(kStateKinds.begin(), kStateKinds.end(), [&](Kind kind) { return KindMap(joined.shares[rank]->layout().kinds[index_of(kind)]).volume_bytes() > 0; });
    if (own.empty() && has_state) return {};
    for (Checksum checksum : own) {
      checksum.extent.offset += joined.map.start(checksum.extent.kind, checksum.extent.object, rank);
      all.push_back(checksum);
    }
  }
  return all;
}

}  // namespace

std::size_t Joined::plan(io::Direction op, const Extent& extent, std::byte* data, io::Completion* completion, std::span<io::Request> out) const {
  std::size_t requests = 0;
  map.split(extent, [&](std::size_t share, const Extent& part, std::uint64_t offset) {
    requests += shares[share]->plan(op, part, slots[share], data + offset, completion, out.subspan(requests));
  });
  return requests;
}

// A cut between ranks may part a piece in two.
std::size_t Joined::max_requests(std::uint64_t bytes) const noexcept {
  std::size_t most = 0;
  for (const auto& share : shares) most = std::max(most, share->max_requests(bytes));
  return most + 2 * shares.size();
}

void Store::Impl::join(std::vector<std::unique_ptr<Store>> shares) {
  joined.emplace(Joined{ShareMap(layouts_of(shares)), std::move(shares), {}});
  run_dir = joined->shares.front()->impl_->run_dir;
  run_id = joined->shares.front()->run_id();
  layout = joined->map.layout();
  ssd_paths.clear();
  for (const auto& share : joined->shares) {
    joined->slots.push_back(share->committed_slot());
    ssd_paths.insert(ssd_paths.end(), share->ssd_paths().begin(), share->ssd_paths().end());
    const StoreReport& own = share->report();
    report.stripe_weights.insert(report.stripe_weights.end(), own.stripe_weights.begin(), own.stripe_weights.end());
    report.bytes_per_path.insert(report.bytes_per_path.end(), own.bytes_per_path.begin(), own.bytes_per_path.end());
    if (!own.direct && report.direct) report.buffered_reason = own.buffered_reason;
    report.direct = report.direct && own.direct;
  }
  auto commit = std::make_shared<Committed>();
  commit->manifest = *joined->shares.front()->manifest();
  commit->checksums = checksums_of(*joined);
  generation = commit->manifest.generation;
  set_last_commit(std::move(commit));
}

const OpenFile* Store::Impl::find_file(int id) const {
  const auto found = std::find_if(files.begin(), files.end(), [id](const OpenFile& file) { return file.id == id; });
  if (found != files.end()) return &*found;
  const OpenFile* of_share = nullptr;
  for (std::size_t share = 0; joined && of_share == nullptr && share < joined->shares.size(); ++share) of_share = joined->shares[share]->impl_->find_file(id);
  return of_share;
}

}  // namespace gsnake::store
