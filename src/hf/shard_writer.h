// Writes a folder of safetensors files, tensor by tensor, that appears when it is complete.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/unique_fd.h"
#include "hf/safetensors.h"
#include "hf/weights_folder.h"
#include "io/partial_folder.h"

namespace gsnake::hf {

// Everything goes to TO.gsnake-partial, which finish() renames; without it nothing is left. All throw Error(storage) that names the path;
// Error(usage) when there is something at `to` that is no empty folder, or another process writes to it.
class ShardWriter {
 public:
  // `tensors` (name, dtype, shape) in the order in which they are stored, cut into files of at most `shard_bytes` where no tensor is
  // larger.
  // A single file is called `single_name`.
  ShardWriter(const std::string& to, std::vector<Tensor> tensors, std::uint64_t shard_bytes, const char* single_name = kSingleName);

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }  // of all tensors
  [[nodiscard]] int files() const noexcept { return static_cast<int>(shards_.size()); }

  // Part of a tensor, by its place in `tensors`.
  void write(std::size_t tensor, std::uint64_t offset, std::span<const std::byte> part);
  // A small file beside the weights.
  void write_file(const std::string& name, const std::string& bytes) { folder_.write_file(name, bytes); }
  // Writes the index if there are several files, syncs all and gives the folder its name.
  void finish();

 private:
  struct Shard {
    std::string name;
    std::string path;
    core::UniqueFd fd;
    std::vector<Tensor> tensors;
    std::uint64_t unsynced = 0;  // bytes since the kernel was last asked to write
    std::uint64_t written_to = 0;
  };
  struct Place {
    std::size_t shard = 0;
    std::size_t index = 0;
  };

  void deal(std::vector<Tensor> tensors, std::uint64_t shard_bytes, const char* single_name);
  void create_files();
  void write_index();

  io::PartialFolder folder_;
  std::vector<Shard> shards_;
  std::vector<Place> places_;
  std::uint64_t bytes_ = 0;
};

}  // namespace gsnake::hf
