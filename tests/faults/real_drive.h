// Small file systems of their own, on loop devices and in memory, that can be made to fail. Needs root; where something of it is refused,
// why() says what, and the test is skipped with that.
#pragma once

#include <filesystem>
#include <string>

namespace gsnake::test {

// Mounted from construction to destruction.
class RealDrive {
 public:
  // ext4 on a loop device with sectors of that size, its backing file and mount point beside each other in `folder`.
  static RealDrive ext4(const std::filesystem::path& folder, int megabytes, int sector_bytes = 512);
  // The same behind a device-mapper target, for fail_everything().
  static RealDrive mapped(const std::filesystem::path& folder, int megabytes);
  // `type` is tmpfs or ramfs.
  static RealDrive in_memory(const std::filesystem::path& folder, const std::string& type, const std::string& options);
  RealDrive(RealDrive&& other) noexcept;
  RealDrive& operator=(RealDrive&&) = delete;
  ~RealDrive();

  [[nodiscard]] const std::string& why() const { return why_; }  // empty: it is there
  [[nodiscard]] const std::filesystem::path& path() const { return mounted_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (mounted_ / name).string(); }

  // Takes all the space that is left; free() gives it back.
  void fill() const;
  void free() const;
  // Whatever lies behind the first megabyte can't be read or written any more.
  void break_down() const;
  // No request is answered with anything but EIO from now on. False where it is refused.
  [[nodiscard]] bool fail_everything() const;
  // As the kernel does after an error that it cannot repair. False where it refuses.
  [[nodiscard]] bool make_read_only() const;
  // The mount point is an empty folder, the files live on elsewhere; plug() brings them back.
  void unplug();
  void plug();

 private:
  RealDrive() = default;
  void attach(const std::filesystem::path& folder, int megabytes, int sector_bytes);
  void make_file_system(const std::filesystem::path& folder, const std::string& device);

  std::filesystem::path backing_;
  std::filesystem::path mounted_;
  std::filesystem::path aside_;
  std::string device_;
  std::string mapping_;
  std::string why_ = "moved from";
};

}  // namespace gsnake::test
