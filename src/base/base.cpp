#include "base/base.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "base/errors.h"
#include "io/durable.h"
#include "io/interrupted.h"

namespace gsnake::base {
namespace {

static_assert(std::endian::native == std::endian::little, "the table of hashes is read as it stands");

constexpr std::uint64_t kVerifiedAtOnce = 64 * kBlockBytes;

std::string file_in(const std::string& folder, const char* name) { return (std::filesystem::path(folder) / name).string(); }

}  // namespace

Base Base::open(const std::string& folder) {
  const std::string path = file_in(folder, kManifestName);
  const std::optional<std::string> text = io::read_whole_file(path);
  if (!text) refuse_folder(folder, fmt::format("it has no {}", kManifestName));
  Base base;
  base.manifest_ = parse_manifest(path, *text);
  base.offsets_ = object_offsets(base.manifest_);
  base.read_table(folder);
  if (const std::string id = id_of(base.manifest_, base.hashes_); id != base.manifest_.id) {
    throw_damaged("use", path, fmt::format("its id is {}, and that of what it says and of {} is {}", base.manifest_.id, kHashesName, id));
  }
  base.bin_path_ = std::filesystem::absolute(file_in(folder, kObjectsName)).lexically_normal().string();
  base.open_objects();
  return base;
}

void Base::read_table(const std::string& folder) {
  const std::string path = file_in(folder, kHashesName);
  const std::optional<std::string> table = io::read_whole_file(path);
  if (!table) throw_damaged("open", path, "there is no such file");
  const std::uint64_t size = bytes() / kBlockBytes * sizeof(std::uint64_t);
  if (table->size() != size) throw_damaged("use", path, fmt::format("it has {} B and not {}", table->size(), size));
  hashes_.resize(bytes() / kBlockBytes);
  std::memcpy(hashes_.data(), table->data(), size);
}

void Base::open_objects() {
  fd_ = core::UniqueFd(::open(bin_path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd_ && errno == ENOENT) throw_damaged("open", bin_path_, "there is no such file");
  if (!fd_) core::throw_storage("open", bin_path_, core::errno_code(), "check its permissions");
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) core::throw_storage("look at", bin_path_, core::errno_code(), "look at the drive");
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) != bytes()) {
    throw_damaged("use", bin_path_, fmt::format("it has {} B and not {}", status.st_size, bytes()));
  }
}

std::uint64_t Base::object_offset(int unit) const {
  if (unit < 0 || static_cast<std::size_t>(unit) >= manifest_.units.size())
    throw std::logic_error(fmt::format("base: there is no unit {}", unit));
  return offsets_[static_cast<std::size_t>(unit)];
}

void Base::read_blocks(std::uint64_t first, std::span<std::byte> blocks) const {
  const std::uint64_t offset = first * kBlockBytes;
  for (std::size_t done = 0; done < blocks.size();) {
    const std::span<std::byte> rest = blocks.subspan(done);
    const ssize_t count =
        io::retry_interrupted([&] { return ::pread(fd_.get(), rest.data(), rest.size(), static_cast<off_t>(offset + done)); });
    const std::string operation = fmt::format("read {} B at offset {} of", rest.size(), offset + done);
    if (count < 0) core::throw_storage(operation, bin_path_, core::errno_code(), "look at the drive");
    if (count == 0) throw_damaged(operation, bin_path_, "it is shorter than it was");
    done += static_cast<std::size_t>(count);
  }
  for (std::size_t i = 0; i * kBlockBytes < blocks.size(); ++i) {
    const std::uint64_t hash = hash_of(blocks.subspan(i * kBlockBytes, kBlockBytes));
    if (hash == hashes_[first + i]) continue;
    throw_damaged(fmt::format("use {} B at offset {} of", kBlockBytes, (first + i) * kBlockBytes), bin_path_,
                  fmt::format("their hash is {:016x} and not {:016x}", hash, hashes_[first + i]));
  }
}

void Base::read(int unit, std::uint64_t offset, std::span<std::byte> part) const {
  const std::uint64_t begin = object_offset(unit) + offset;
  const std::uint64_t size = manifest_.kind_of(unit).bytes;
  if (offset > size || part.size() > size - offset) {
    throw std::logic_error(fmt::format("base: {} B at {} do not lie in unit {}'s object of {} B", part.size(), offset, unit, size));
  }
  std::vector<std::byte> block;
  for (std::uint64_t at = begin; at < begin + part.size();) {
    const std::uint64_t skipped = at % kBlockBytes;
    const std::span<std::byte> rest = part.subspan(at - begin);
    if (skipped == 0 && rest.size() >= kBlockBytes) {
      const std::span<std::byte> whole = rest.first(rest.size() / kBlockBytes * kBlockBytes);
      read_blocks(at / kBlockBytes, whole);
      at += whole.size();
      continue;
    }
    block.resize(kBlockBytes);
    read_blocks(at / kBlockBytes, block);
    const std::size_t taken = std::min<std::size_t>(rest.size(), kBlockBytes - skipped);
    std::memcpy(rest.data(), block.data() + skipped, taken);
    at += taken;
  }
}

void Base::verify(const ByteProgress& progress) const {
  std::vector<std::byte> buffer(kVerifiedAtOnce);
  for (std::uint64_t at = 0; at < bytes();) {
    const std::span<std::byte> blocks = std::span(buffer).first(std::min(kVerifiedAtOnce, bytes() - at));
    read_blocks(at / kBlockBytes, blocks);
    at += blocks.size();
    if (progress) progress(at, bytes());
  }
}

}  // namespace gsnake::base
