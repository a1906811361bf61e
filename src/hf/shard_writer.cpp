#include "hf/shard_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/bytes.h"
#include "core/errors.h"
#include "hf/json.h"
#include "hf/refusal.h"
#include "io/durable.h"
#include "io/write_all.h"

namespace gsnake::hf {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kWriteBehind = 64ULL << 20;

// Without a slash at its end; what a link to a folder leads to, since a folder can't take a link's place.
std::string target_of(const std::string& path) {
  if (path.empty()) throw Error(ErrorKind::usage, "cannot export to \"\": name a folder with --to");
  const fs::path whole = fs::absolute(path).lexically_normal();
  const fs::path named = whole.has_filename() ? whole : whole.parent_path();
  std::error_code error;
  const fs::path real = fs::is_directory(named, error) ? fs::canonical(named, error) : named;
  return error ? named.string() : real.string();
}

void write_at(int fd, const std::string& path, std::span<const std::byte> bytes, std::uint64_t offset) {
  const auto write = [&](std::span<const std::byte> rest, std::size_t done) {
    return ::pwrite(fd, rest.data(), rest.size(), static_cast<off_t>(offset + done));
  };
  if (const std::error_code error = io::write_all(bytes, write)) {
    core::throw_storage(fmt::format("write {} B at offset {} of", bytes.size(), offset), path, error, "free space, or look at the drive");
  }
}

core::UniqueFd create(const std::string& path) {
  core::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd) core::throw_storage("create", path, core::errno_code(), "check the folder's permissions");
  return fd;
}

}  // namespace

ShardWriter::ShardWriter(const std::string& to, std::vector<Tensor> tensors, std::uint64_t shard_bytes, const char* single_name)
    : to_(target_of(to)), partial_(to_ + ".gsnake-partial") {
  std::error_code error;
  if (fs::exists(fs::symlink_status(to_, error)) && !(fs::is_directory(to_, error) && fs::is_empty(to_, error))) {
    throw Error(ErrorKind::usage, fmt::format("cannot export to {}: it exists and is no empty folder; name another", to_));
  }
  claim_folder();
  try {
    deal(std::move(tensors), shard_bytes, single_name);
    create_files();
  } catch (...) {
    remove_partial();
    throw;
  }
}

ShardWriter::~ShardWriter() {
  if (!finished_) remove_partial();
}

// What a killed export left is nobody's: its lock is gone.
void ShardWriter::claim_folder() {
  if (::mkdir(partial_.c_str(), 0777) != 0 && errno != EEXIST)
    core::throw_storage("make", partial_, core::errno_code(), "name a folder whose parent exists and can be written to");
  folder_ = core::UniqueFd(::open(partial_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder_) core::throw_storage("open", partial_, core::errno_code(), "remove it");
  if (::flock(folder_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorKind::usage, fmt::format("cannot export to {}: another process writes to {}; wait for its end", to_, partial_));
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(partial_, error)) fs::remove_all(entry.path(), error);
}

void ShardWriter::deal(std::vector<Tensor> tensors, std::uint64_t shard_bytes, const char* single_name) {
  std::uint64_t filled = 0;
  for (Tensor& tensor : tensors) {
    std::uint64_t size = size_of(*tensor.known_dtype());
    for (const std::uint64_t dimension : tensor.shape) size *= dimension;
    if (shards_.empty() || (filled > 0 && filled + size > shard_bytes)) {
      shards_.emplace_back();
      filled = 0;
    }
    places_.push_back({shards_.size() - 1, shards_.back().tensors.size()});
    shards_.back().tensors.push_back(std::move(tensor));
    filled += size;
    bytes_ += size;
  }
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const std::string name = shards_.size() == 1 ? single_name : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards_.size());
    shards_[i].path = (fs::path(partial_) / name).string();
  }
}

void ShardWriter::create_files() {
  struct statvfs system {};
  const bool known = ::statvfs(partial_.c_str(), &system) == 0 && system.f_blocks > 0;
  const std::uint64_t free = known ? static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize : bytes_;
  if (free < bytes_) {
    core::throw_storage(
        "export to", to_,
        fmt::format("the weights need {}, the file system has {} free", core::format_bytes(bytes_), core::format_bytes(free)),
        "free space, or choose a smaller --dtype");
  }
  for (Shard& shard : shards_) {
    shard.fd = create(shard.path);
    const std::string header = make_safetensors_header(shard.tensors);
    write_at(shard.fd.get(), shard.path, std::as_bytes(std::span(header)), 0);
  }
}

void ShardWriter::write(std::size_t tensor, std::uint64_t offset, std::span<const std::byte> part) {
  const Place& place = places_.at(tensor);
  Shard& shard = shards_[place.shard];
  const std::uint64_t at = shard.tensors[place.index].offset + offset;
  write_at(shard.fd.get(), shard.path, part, at);
  shard.unsynced += part.size();
  if (shard.unsynced < kWriteBehind || at <= shard.written_to) return;
  // Begins to write what is complete, so that the sync at the end has little to wait for. A hint: its failure shows there.
  static_cast<void>(::sync_file_range(shard.fd.get(), static_cast<off_t>(shard.written_to), static_cast<off_t>(at - shard.written_to),
                                      SYNC_FILE_RANGE_WRITE));
  shard.written_to = at;
  shard.unsynced = 0;
}

void ShardWriter::write_file(const std::string& name, const std::string& bytes) {
  const std::string path = (fs::path(partial_) / name).string();
  const core::UniqueFd fd = create(path);
  write_at(fd.get(), path, std::as_bytes(std::span(bytes)), 0);
  io::sync_data(io::kernel_sync(), fd.get(), path);
}

void ShardWriter::write_index() {
  Json places;
  for (const Shard& shard : shards_) {
    for (const Tensor& tensor : shard.tensors) places[tensor.name] = fs::path(shard.path).filename().string();
  }
  write_file(kIndexName, Json{{"metadata", {{"total_size", bytes_}}}, {"weight_map", std::move(places)}}.dump(2) + "\n");
}

void ShardWriter::finish() {
  for (const Shard& shard : shards_) io::sync_data(io::kernel_sync(), shard.fd.get(), shard.path);
  if (shards_.size() > 1) write_index();
  io::sync_directory(io::kernel_sync(), partial_);
  if (::rename(partial_.c_str(), to_.c_str()) != 0)
    core::throw_storage("rename " + partial_ + " to", to_, core::errno_code(), "name a folder that is not there yet");
  finished_ = true;
  io::sync_directory(io::kernel_sync(), fs::path(to_).parent_path().string());
}

void ShardWriter::remove_partial() noexcept {
  std::error_code ignored;
  if (folder_) fs::remove_all(partial_, ignored);
}

}  // namespace gsnake::hf
