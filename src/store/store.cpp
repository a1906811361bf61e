#include "store/store.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "store/state.h"
#include "store/transfer/stream.h"
#include "store/transfer/transfer.h"

namespace gsnake::store {
Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

const Layout& Store::layout() const noexcept { return impl_->layout; }
const StoreReport& Store::report() const noexcept { return impl_->report; }
io::IoEngine& Store::engine() noexcept { return *impl_->engine; }
std::uint64_t Store::stream_bytes() const noexcept { return impl_->stream_blocks * kStreamBlockBytes; }
void Store::keep_files() noexcept { impl_->footprint.keep_state(); }
void Store::add_folder(const std::string& path) { impl_->footprint.make_directory(path); }
void Store::add_file(const std::string& path) { impl_->footprint.add_state_file(path); }

bool Store::exclude_readers() {
  impl_->require_writable("keep readers from");
  return impl_->pin->try_exclude_readers();
}
void Store::admit_readers() noexcept { impl_->pin->admit_readers(); }
std::string Store::activity() const { return impl_->activity.text(); }

const Manifest* Store::manifest() const noexcept {
  const std::shared_ptr<const Committed> commit = impl_->last_commit();
  return commit ? &commit->manifest : nullptr;
}

const std::vector<Checksum>& Store::checksums() const noexcept {
  static const std::vector<Checksum> none;
  const std::shared_ptr<const Committed> commit = impl_->last_commit();
  return commit ? commit->checksums : none;
}

int Store::committed_slot() const noexcept {
  const std::shared_ptr<const Committed> commit = impl_->last_commit();
  return commit ? commit->slot : 0;
}

std::size_t Store::max_requests(std::uint64_t bytes) const noexcept {
  return impl_->joined ? impl_->joined->max_requests(bytes) : impl_->volume->max_pieces(bytes);
}

const std::string& Store::run_id() const noexcept { return impl_->run_id; }

const std::vector<std::string>& Store::ssd_paths() const noexcept { return impl_->ssd_paths; }

const std::string& Store::path_of(int file) const { return impl_->find_file(file)->file.path(); }

std::uint64_t Store::base_bytes(std::uint32_t object) const noexcept {
  return impl_->base && object < impl_->base->objects.size() ? impl_->base->objects[object].bytes : 0;
}

io::Request StoreState::base_request(io::Direction op, const Extent& extent, std::byte* data, io::Completion* completion) const {
  const bool there = base && extent.object < base->objects.size();
  const BaseFile::Place place = there ? base->objects[extent.object] : BaseFile::Place();
  if (op != io::Direction::read || extent.offset > place.bytes || extent.bytes > place.bytes - extent.offset) {
    throw std::logic_error(fmt::format("store: [{}, +{}) of object {} is {} a base, which has {} B of it", extent.offset, extent.bytes, extent.object,
                                       op == io::Direction::read ? "read from" : "written to", place.bytes));
  }
  return {op, base_file, place.offset + extent.offset, data, extent.bytes, completion};
}

std::size_t Store::plan(io::Direction op, const Extent& extent, int slot, std::byte* data, io::Completion* completion,
                        std::span<io::Request> out) const {
  if (extent.kind == Kind::base) {
    out[0] = impl_->base_request(op, extent, data, completion);
    return 1;
  }
  if (impl_->joined) return impl_->joined->plan(op, extent, data, completion, out);
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

void Store::Impl::transfer(const Store& store, io::Direction op, const Extent& extent, int slot, std::byte* data) {
  std::vector<io::Request> requests(store.max_requests(extent.bytes));
  requests.resize(store.plan(op, extent, slot, data, nullptr, requests));
  transfer_all(*engine, requests, [&](const io::Request& request) {
    return fmt::format("{} ({})", find_file(request.file)->file.path(), describe(extent, slot));
  });
}

void Store::read(const Extent& extent, int slot, std::byte* data) { impl_->transfer(*this, io::Direction::read, extent, slot, data); }

void Store::write(const Extent& extent, int slot, const std::byte* data) {
  impl_->require_writable("write");
  // A request carries one kind of pointer for both directions; a write only reads through it.
  impl_->transfer(*this, io::Direction::write, extent, slot, const_cast<std::byte*>(data));
}

}  // namespace gsnake::store
