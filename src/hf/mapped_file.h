// A file's bytes in memory, read as they are looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace gsnake::hf {

// Move-only owner of a read-only mapping. Throws Error(input) when the file can't be opened. Whoever cuts the file meanwhile ends the
// process (SIGBUS), as for any mapping.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, bytes_}; }

  // The kernel may begin to read this part; it needs no memory of this process for that one any more. Only hints.
  void will_need(std::uint64_t offset, std::uint64_t size) const noexcept;
  void done_with(std::uint64_t offset, std::uint64_t size) const noexcept;

 private:
  void advise(std::uint64_t offset, std::uint64_t size, int advice) const noexcept;

  std::string path_;
  const std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
};

}  // namespace gsnake::hf
