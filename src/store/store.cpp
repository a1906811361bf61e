#include "store/store.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "store/state.h"
#include "store/transfer.h"

namespace gsnake::store {
namespace {

// One copy tells which of the run's paths it lies on, so that paths may be named in another order later.
Manifest copy_for(const Manifest& manifest, const StoreState& state, const std::string& directory) {
  Manifest copy = manifest;
  for (std::size_t path = 0; path < state.ssd_paths.size(); ++path) {
    if (state.ssd_paths[path] == directory) copy.storage["path_index"] = path;
  }
  return copy;
}

nlohmann::json describe_storage(const StoreState& state) {
  nlohmann::json paths = nlohmann::json::array();
  for (std::size_t path = 0; path < state.ssd_paths.size(); ++path) {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < state.maps.size(); ++i) bytes += is_state(kind_at(i)) ? state.file_bytes(kind_at(i), path) : 0;
    paths.push_back({{"path", state.ssd_paths[path]}, {"bytes", bytes}});
  }
  return {{"stripe_bytes", kStripeBytes},
          {"extent_alignment", kExtentAlignment},
          {"stripe_weights", state.report.stripe_weights},
          {"paths", std::move(paths)},
          {"kinds", state_to_json(state.layout)}};
}

}  // namespace

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

const Layout& Store::layout() const noexcept { return impl_->layout; }
const StoreReport& Store::report() const noexcept { return impl_->report; }
io::IoEngine& Store::engine() noexcept { return *impl_->engine; }
void Store::keep_files() noexcept { impl_->footprint.keep_state(); }
const Manifest* Store::manifest() const noexcept { return impl_->manifest ? &*impl_->manifest : nullptr; }

std::size_t Store::max_requests(std::uint64_t bytes) const noexcept { return impl_->volume->max_pieces(bytes); }

const std::string& Store::run_id() const noexcept { return impl_->run_id; }

const std::string& Store::path_of(int file) const { return impl_->file_of(file).file.path(); }

std::size_t Store::plan(io::Op op, const Extent& extent, int slot, std::byte* data, io::Completion* completion,
                        std::span<io::Request> out) const {
  const std::size_t kind = index_of(extent.kind);
  const std::uint64_t start = impl_->maps[kind].offset_of(extent, slot);
  std::size_t requests = 0;
  for (std::uint64_t done = 0; done < extent.bytes;) {
    if (requests == out.size()) {
      std::fprintf(stderr, "gsnake: no room for request %zu of an extent of %llu bytes\n", requests,
                   static_cast<unsigned long long>(extent.bytes));
      std::abort();
    }
    const Piece piece = impl_->volume->piece_at(start + done, extent.bytes - done);
    out[requests++] = {op,        impl_->file_ids[kind][static_cast<std::size_t>(piece.path)], piece.file_offset, data + done, piece.bytes,
                       completion};
    done += piece.bytes;
  }
  return requests;
}

void Store::Impl::transfer(const Store& store, io::Op op, const Extent& extent, int slot, std::byte* data) {
  std::vector<io::Request> requests(store.max_requests(extent.bytes));
  requests.resize(store.plan(op, extent, slot, data, nullptr, requests));
  transfer_all(*engine, requests, [&](const io::Request& request) {
    return fmt::format("{} (object {} of {}, slot {})", file_of(request.file).file.path(), extent.object, name_of(extent.kind), slot);
  });
}

void Store::read(const Extent& extent, int slot, std::byte* data) { impl_->transfer(*this, io::Op::read, extent, slot, data); }

void Store::write(const Extent& extent, int slot, const std::byte* data) {
  // A request carries one kind of pointer for both directions; a write only reads through it.
  impl_->transfer(*this, io::Op::write, extent, slot, const_cast<std::byte*>(data));
}

void Store::commit(Manifest manifest) {
  for (const OpenFile& file : impl_->files) {
    if (is_state(file.kind)) file.file.sync_data();
  }
  manifest.run_id = impl_->run_id;
  manifest.generation = ++impl_->generation;
  manifest.storage = describe_storage(*impl_);
  // Before the first copy is written: a sync that fails after its rename leaves a valid manifest, whose files must not go.
  impl_->footprint.keep_state();
  for (const std::string& directory : impl_->directories()) write_manifest(directory, copy_for(manifest, *impl_, directory));
  impl_->manifest = std::move(manifest);
}

void Store::retract_manifest() {
  for (const std::string& directory : impl_->directories()) remove_manifest(directory);
}

}  // namespace gsnake::store
