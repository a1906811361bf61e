#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "core/errors.h"
#include "store/state.h"
#include "store/transfer/stream.h"

namespace gsnake::store {
namespace {

std::vector<Extent> extents_of(std::span<const Checksum> checksums) {
  std::vector<Extent> extents;
  extents.reserve(checksums.size());
  for (const Checksum& checksum : checksums) extents.push_back(checksum.extent);
  return extents;
}

}  // namespace

void throw_mismatch(const Store& store, const Checksum& expected, int slot, std::uint64_t found) {
  const Extent& extent = expected.extent;
  std::vector<io::Request> requests(store.max_requests(extent.bytes));
  requests.resize(store.plan(io::Direction::read, extent, slot, nullptr, nullptr, requests));
  std::set<std::string> files;
  for (const io::Request& request : requests) files.insert(store.path_of(request.file));
  core::throw_storage(fmt::format("trust {} B at offset {} of {} object {}, slot {}, in", extent.bytes, extent.offset, name_of(extent.kind),
                                  extent.object, slot),
                      fmt::format("{}", fmt::join(files, " and ")),
                      fmt::format("their XXH3 is {:016x} where {:016x} was committed", found, expected.xxh3),
                      "the drive changed them: go back to a snapshot (--resume-from) or restore a backup");
}

std::vector<std::uint64_t> Store::hash(std::span<const Extent> extents, int slot, const ByteProgress& progress) {
  std::vector<std::uint64_t> hashes(extents.size());
  std::uint64_t total = 0;
  for (const Extent& extent : extents) total += extent.bytes;
  std::uint64_t done = 0;
  stream_extents(*this, extents, {slot, std::nullopt, impl_->stream_blocks}, [&](std::size_t i, std::uint64_t xxh3) {
    hashes[i] = xxh3;
    done += extents[i].bytes;
    if (progress) progress(done, total);
  });
  return hashes;
}

void Store::read_committed(std::span<const Checksum> pieces, const BlockVisitor& visit) {
  const int slot = committed_slot();
  const auto check = [&](std::size_t i, std::uint64_t xxh3) {
    if (xxh3 != pieces[i].xxh3) throw_mismatch(*this, pieces[i], slot, xxh3);
  };
  stream_extents(*this, extents_of(pieces), {slot, std::nullopt, impl_->stream_blocks}, check, visit);
}

void Store::verify(const ByteProgress& progress) {
  const std::shared_ptr<const Committed> commit = impl_->last_commit();
  if (!commit || commit->checksums.empty()) {
    core::throw_storage("verify", "run " + impl_->run_id, commit ? "its commit holds no checksums" : "it has no commit",
                        "train on with ssd.verify, which stores them");
  }
  std::uint64_t total = 0;
  for (const Checksum& checksum : commit->checksums) total += checksum.extent.bytes;
  std::uint64_t done = 0;
  stream_extents(*this, extents_of(commit->checksums), {commit->slot, std::nullopt, impl_->stream_blocks}, [&](std::size_t i, std::uint64_t xxh3) {
    const Checksum& expected = commit->checksums[i];
    if (xxh3 != expected.xxh3) throw_mismatch(*this, expected, commit->slot, xxh3);
    done += expected.extent.bytes;
    if (progress) progress(done, total);
  });
  impl_->verified_generation = commit->manifest.generation;
}

void Store::ensure_verified(const ByteProgress& progress) {
  const std::shared_ptr<const Committed> commit = impl_->last_commit();
  if (!commit || impl_->verified_generation != commit->manifest.generation) verify(progress);
}

}  // namespace gsnake::store
