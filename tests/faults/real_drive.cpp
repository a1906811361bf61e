#include "faults/real_drive.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

namespace gsnake::test {
namespace {

// What a command prints; its last line in `why` when it fails.
std::string output_of(const std::string& command, std::string& why) {
  std::string text;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    why = "popen: " + std::string(std::strerror(errno));
    return text;
  }
  std::array<char, 256> line{};
  while (std::fgets(line.data(), line.size(), pipe) != nullptr) text += line.data();
  const int status = ::pclose(pipe);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (status != 0) why = command.substr(0, command.find(' ')) + ": " + text;
  return text;
}

std::string errno_text(const char* call) { return std::string(call) + ": " + std::strerror(errno); }

}  // namespace

void RealDrive::attach(const std::filesystem::path& folder, int megabytes, int sector_bytes) {
  why_.clear();
  backing_ = folder / "drive.img";
  const int fd = ::open(backing_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(megabytes) << 20) != 0) why_ = errno_text("the backing file");
  if (fd >= 0) ::close(fd);
  if (!why_.empty()) return;
  device_ = output_of("losetup --find --show --sector-size " + std::to_string(sector_bytes) + " " + backing_.string(), why_);
  if (!why_.empty()) device_.clear();
}

void RealDrive::make_file_system(const std::filesystem::path& folder, const std::string& device) {
  std::filesystem::create_directories(folder / "drive");
  output_of("mkfs.ext4 -q -m 0 " + device, why_);
  if (!why_.empty()) return;
  if (::mount(device.c_str(), (folder / "drive").c_str(), "ext4", 0, "") != 0) {
    why_ = errno_text("mount");
  } else {
    mounted_ = folder / "drive";
  }
}

RealDrive RealDrive::ext4(const std::filesystem::path& folder, int megabytes, int sector_bytes) {
  RealDrive drive;
  drive.attach(folder, megabytes, sector_bytes);
  if (drive.why_.empty()) drive.make_file_system(folder, drive.device_);
  return drive;
}

RealDrive RealDrive::mapped(const std::filesystem::path& folder, int megabytes) {
  RealDrive drive;
  drive.attach(folder, megabytes, 512);
  if (!drive.why_.empty()) return drive;
  const std::string name = "gsnake-test-" + std::to_string(::getpid());
  const std::string sectors = std::to_string(megabytes * 2048);
  output_of("dmsetup create " + name + " --table '0 " + sectors + " linear " + drive.device_ + " 0'", drive.why_);
  if (!drive.why_.empty()) return drive;
  drive.mapping_ = name;
  drive.make_file_system(folder, "/dev/mapper/" + name);
  return drive;
}

bool RealDrive::fail_everything() const {
  std::string why;
  const std::string sectors = std::to_string(std::filesystem::file_size(backing_) / 512);
  for (const std::string& command :
       {"suspend --noflush --nolockfs " + mapping_, "load " + mapping_ + " --table '0 " + sectors + " error'", "resume " + mapping_}) {
    output_of("dmsetup " + command, why);
  }
  return why.empty();
}

RealDrive RealDrive::in_memory(const std::filesystem::path& folder, const std::string& type, const std::string& options) {
  RealDrive drive;
  drive.why_.clear();
  std::filesystem::create_directories(folder);
  if (::mount("gsnake-test", folder.c_str(), type.c_str(), 0, options.c_str()) != 0) {
    drive.why_ = errno_text("mount");
  } else {
    drive.mounted_ = folder;
  }
  return drive;
}

RealDrive::RealDrive(RealDrive&& other) noexcept
    : backing_(std::move(other.backing_)),
      mounted_(std::exchange(other.mounted_, {})),
      aside_(std::exchange(other.aside_, {})),
      device_(std::exchange(other.device_, {})),
      mapping_(std::exchange(other.mapping_, {})),
      why_(std::move(other.why_)) {}

RealDrive::~RealDrive() {
  if (!aside_.empty()) ::umount2(aside_.c_str(), MNT_DETACH);
  if (!mounted_.empty()) ::umount2(mounted_.c_str(), MNT_DETACH);
  std::string ignored;
  if (!mapping_.empty()) output_of("dmsetup remove --retry " + mapping_, ignored);
  if (!device_.empty()) output_of("losetup --detach " + device_, ignored);
}

void RealDrive::fill() const {
  const int fd = ::open((mounted_ / "ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  std::vector<char> block(1 << 20, 'x');
  // A run that commits frees as many blocks as it takes: again and again, so that it gets none of those back.
  for (int round = 0; round < 300; ++round) {
    for (std::size_t size = block.size(); size >= 512;) {
      if (::write(fd, block.data(), size) <= 0) size /= 2;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::fsync(fd);
  ::close(fd);
}

void RealDrive::free() const { std::filesystem::remove(mounted_ / "ballast"); }

void RealDrive::break_down() const { std::filesystem::resize_file(backing_, 1 << 20); }

bool RealDrive::make_read_only() const { return ::mount(device_.c_str(), mounted_.c_str(), "ext4", MS_REMOUNT, "abort") == 0; }

void RealDrive::unplug() {
  aside_ = mounted_.string() + "-aside";
  std::filesystem::create_directories(aside_);
  ::mount(mounted_.c_str(), aside_.c_str(), nullptr, MS_BIND, nullptr);
  ::umount2(mounted_.c_str(), MNT_DETACH);
}

void RealDrive::plug() {
  ::mount(aside_.c_str(), mounted_.c_str(), nullptr, MS_BIND, nullptr);
  ::umount2(aside_.c_str(), MNT_DETACH);
  aside_.clear();
}

}  // namespace gsnake::test
