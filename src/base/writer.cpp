#include "base/writer.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "core/errors.h"
#include "core/threads.h"
#include "io/direct_io.h"
#include "io/durable.h"
#include "io/file.h"

namespace gsnake::base {
namespace {

constexpr std::size_t kBufferBytes = 256 * kBlockBytes;

BaseManifest checked(BaseManifest manifest) {
  if (const std::optional<std::string> flaw = flaw_of(manifest)) throw std::logic_error("base: " + *flaw);
  return manifest;
}

}  // namespace

BaseWriter::BaseWriter(const std::string& to, BaseManifest manifest)
    : manifest_(checked(std::move(manifest))), offsets_(object_offsets(manifest_)), folder_(to, "write the base"), buffers_{io::AlignedBuffer(kBufferBytes), io::AlignedBuffer(kBufferBytes)} {
  fd_ = folder_.create(kObjectsName);
  io::preallocate(fd_.get(), folder_.path_of(kObjectsName), bytes());
  static_cast<void>(io::probe_direct_io(fd_.get(), bytes(), io::ProbeWrites::allowed));  // past the page cache where that can be done
  table_fd_ = folder_.create(kHashesName);
  io::preallocate(table_fd_.get(), folder_.path_of(kHashesName), bytes() / kBlockBytes * sizeof(std::uint64_t));
  hashes_.reserve(bytes() / kBlockBytes);
}

// Between two places of base.bin.
bool BaseWriter::is_padding(std::uint64_t from, std::uint64_t to) const {
  auto unit = static_cast<std::size_t>(std::upper_bound(offsets_.begin(), offsets_.end(), from) - offsets_.begin()) - 1;
  for (; unit + 1 < offsets_.size() && offsets_[unit] < to; ++unit) {
    const std::vector<BaseTensor>& tensors = manifest_.kind_of(static_cast<int>(unit)).tensors;
    const auto lies_within = [&](const BaseTensor& tensor) {
      const std::uint64_t begin = offsets_[unit] + tensor.offset;
      return std::max(begin, from) < std::min(begin + tensor.bytes, to);
    };
    if (std::any_of(tensors.begin(), tensors.end(), lies_within)) return false;
  }
  return true;
}

void BaseWriter::write(int unit, std::uint64_t offset, std::span<const std::byte> piece) {
  const std::uint64_t size = manifest_.kind_of(unit).bytes;
  if (offset > size || piece.size() > size - offset) {
    throw std::logic_error(fmt::format("base: {} B at {} do not lie in unit {}'s object of {} B", piece.size(), offset, unit, size));
  }
  skip_to(offsets_[static_cast<std::size_t>(unit)] + offset);
  append(piece);
}

void BaseWriter::skip_to(std::uint64_t position) {
  const std::uint64_t at = flushed_ + filled_;
  if (position < at) throw std::logic_error(fmt::format("base: a piece for {} comes after what is before {}", position, at));
  if (!is_padding(at, position)) throw std::logic_error(fmt::format("base: a tensor's bytes between {} and {} are left out", at, position));
  append_zeros(position - at);
}

void BaseWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t part = std::min(bytes.size(), kBufferBytes - filled_);
    std::memcpy(buffers_[current_].data() + filled_, bytes.data(), part);
    filled_ += part;
    bytes = bytes.subspan(part);
    if (filled_ == kBufferBytes) flush();
  }
}

void BaseWriter::append_zeros(std::uint64_t count) {
  static constexpr std::byte kZeros[4096]{};
  for (; count > 0; count -= std::min<std::uint64_t>(count, sizeof(kZeros))) {
    append(std::span(kZeros).first(std::min<std::uint64_t>(count, sizeof(kZeros))));
  }
}

// Whole blocks: a buffer holds a number of them, and so does base.bin.
void BaseWriter::flush() {
  wait_for_what_is_behind();
  behind_ = std::async(std::launch::async, [this, whole = std::span<const std::byte>(buffers_[current_].data(), filled_), offset = flushed_] {
    core::block_signals();
    hash_and_write(whole, offset);
  });
  flushed_ += filled_;
  filled_ = 0;
  current_ = 1 - current_;
}

void BaseWriter::wait_for_what_is_behind() {
  if (broken_) throw std::logic_error("base: it is written to after a failure");
  if (!behind_.valid()) return;
  broken_ = true;
  behind_.get();
  broken_ = false;
}

void BaseWriter::hash_and_write(std::span<const std::byte> whole, std::uint64_t offset) {
  for (std::size_t at = 0; at < whole.size(); at += kBlockBytes) hashes_.push_back(hash_of(whole.subspan(at, kBlockBytes)));
  io::write_at(fd_.get(), folder_.path_of(kObjectsName), whole, offset);
  // Where it went through the page cache: begins to write, so that the sync at the end has little to wait for. A hint: its failure shows there.
  static_cast<void>(::sync_file_range(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(whole.size()), SYNC_FILE_RANGE_WRITE));
}

void BaseWriter::write_file(const std::string& name, const std::string& bytes) {
  if (name == kManifestName || name == kObjectsName || name == kHashesName)
    throw std::logic_error("base: " + name + " is a name of the base's own");
  folder_.write_file(name, bytes);
}

std::string BaseWriter::finish() {
  skip_to(bytes());
  if (filled_ > 0) flush();
  wait_for_what_is_behind();
  io::sync_data(io::kernel_sync(), fd_.get(), folder_.path_of(kObjectsName));
  io::write_at(table_fd_.get(), folder_.path_of(kHashesName), std::as_bytes(std::span(hashes_)), 0);
  io::sync_data(io::kernel_sync(), table_fd_.get(), folder_.path_of(kHashesName));
  try {
    manifest_.id = id_of(manifest_, hashes_);
    folder_.write_file(kManifestName, serialize(manifest_));
  } catch (const nlohmann::json::exception& error) {
    core::throw_storage("write", folder_.path_of(kManifestName), error.what(), "use paths and names that are UTF-8");
  }
  folder_.finish();
  return manifest_.id;
}

}  // namespace gsnake::base
