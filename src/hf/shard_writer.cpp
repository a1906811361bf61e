#include "hf/shard_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>

#include "core/bytes.h"
#include "core/errors.h"
#include "hf/json.h"
#include "io/durable.h"

namespace gsnake::hf {
namespace {

constexpr std::uint64_t kWriteBehind = 64ULL << 20;

}  // namespace

ShardWriter::ShardWriter(const std::string& to, std::vector<Tensor> tensors, std::uint64_t shard_bytes, const char* single_name) : folder_(to, "export to") {
  deal(std::move(tensors), shard_bytes, single_name);
  create_files();
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
    shards_[i].name = name;
    shards_[i].path = folder_.path_of(name);
  }
}

void ShardWriter::create_files() {
  struct statvfs system {};
  const bool known = ::statvfs(folder_.path_of("").c_str(), &system) == 0 && system.f_blocks > 0;
  const std::uint64_t free = known ? static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize : bytes_;
  if (free < bytes_) {
    core::throw_storage(
        "export to", folder_.to(),
        fmt::format("the weights need {}, the file system has {} free", core::format_bytes(bytes_), core::format_bytes(free)),
        "free space, or choose a smaller --dtype");
  }
  for (Shard& shard : shards_) {
    shard.fd = folder_.create(shard.name);
    const std::string header = make_safetensors_header(shard.tensors);
    io::write_at(shard.fd.get(), shard.path, std::as_bytes(std::span(header)), 0);
  }
}

void ShardWriter::write(std::size_t tensor, std::uint64_t offset, std::span<const std::byte> part) {
  const Place& place = places_.at(tensor);
  Shard& shard = shards_[place.shard];
  const std::uint64_t at = shard.tensors[place.index].offset + offset;
  io::write_at(shard.fd.get(), shard.path, part, at);
  shard.unsynced += part.size();
  if (shard.unsynced < kWriteBehind || at <= shard.written_to) return;
  // Begins to write what is complete, so that the sync at the end has little to wait for. A hint: its failure shows there.
  static_cast<void>(::sync_file_range(shard.fd.get(), static_cast<off_t>(shard.written_to), static_cast<off_t>(at - shard.written_to),
                                      SYNC_FILE_RANGE_WRITE));
  shard.written_to = at;
  shard.unsynced = 0;
}

void ShardWriter::write_index() {
  Json places;
  for (const Shard& shard : shards_) {
    for (const Tensor& tensor : shard.tensors) places[tensor.name] = shard.name;
  }
  folder_.write_file(kIndexName, Json{{"metadata", {{"total_size", bytes_}}}, {"weight_map", std::move(places)}}.dump(2) + "\n");
}

void ShardWriter::finish() {
  for (const Shard& shard : shards_) io::sync_data(io::kernel_sync(), shard.fd.get(), shard.path);
  if (shards_.size() > 1) write_index();
  folder_.finish();
}

}  // namespace gsnake::hf
