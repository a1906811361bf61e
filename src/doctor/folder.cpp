#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <map>

#include "core/bytes.h"
#include "core/errors.h"
#include "doctor/checks.h"
#include "greedysnake/error.h"
#include "io/directories.h"

namespace gsnake::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kProbeBytes = 64 * 1024;

constexpr const char* kInMemory = "name a folder on a drive: state there takes memory beside the budgets, and is lost with a power cut";
constexpr const char* kLayered = "name a folder on a volume of its own (in a container, a mounted one): this is the container's layer, slower and lost with it";
constexpr const char* kOverNetwork = "name a folder on a local NVMe drive: every byte of state crosses the network twice a step";
constexpr const char* kCopiesOnWrite = "name a folder on ext4 or xfs, or run chattr +C on it while it is empty: copies on write break up what is preallocated";

struct Kind {
  std::uint64_t magic;  // as statfs(2) has it
  const char* name;
  const char* remedy;  // null where state is well kept there
};

constexpr std::array kKinds{
    Kind{0xEF53, "ext4", nullptr},        Kind{0x58465342, "xfs", nullptr},        Kind{0xF2F52010, "f2fs", nullptr},   Kind{0x9123683E, "btrfs", kCopiesOnWrite},
    Kind{0x2FC12FC1, "zfs", kCopiesOnWrite}, Kind{0x01021994, "tmpfs", kInMemory}, Kind{0x858458F6, "ramfs", kInMemory}, Kind{0x794C7630, "overlay", kLayered},
    Kind{0x6969, "nfs", kOverNetwork},    Kind{0xFF534D42, "cifs", kOverNetwork},  Kind{0xFE534D42, "smb", kOverNetwork}, Kind{0x00C36400, "ceph", kOverNetwork},
    Kind{0x0BD00BD0, "lustre", kOverNetwork}, Kind{0x01021997, "9p", kOverNetwork}, Kind{0x65735546, "fuse", kOverNetwork},
};

// The folder itself, or the nearest one above it that is there: the one that would hold it.
std::string nearest_existing(const std::string& folder) {
  std::error_code ignored;
  fs::path path = fs::absolute(folder, ignored);
  while (!fs::is_directory(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path.string();
}

Finding file_system_of(const std::string& folder, const std::string& there) {
  struct statfs status {};
  Finding finding{"file_system", Status::unknown, {}};
  if (::statfs(there.c_str(), &status) != 0) {
    finding.seen = fmt::format("{}: {}", folder, core::errno_code().message());
    finding.remedy = "check the path and its permissions";
    return finding;
  }
  const auto magic = static_cast<std::uint64_t>(static_cast<std::uint32_t>(status.f_type));
  const auto* const kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& one) { return one.magic == magic; });
  const std::string name = kind == kKinds.end() ? fmt::format("file system {:#x}", magic) : kind->name;
  finding.status = kind != kKinds.end() && kind->remedy != nullptr ? Status::warn : Status::ok;
  finding.seen = fmt::format("{}: {}", folder, name);
  if (there != folder && !fs::exists(folder)) finding.seen += fmt::format(" (not there yet; looked at {})", there);
  if (finding.status == Status::warn) finding.remedy = kind->remedy;
  finding.detail = {{"folder", folder}, {"looked_at", there}, {"kind", name}};
  return finding;
}

// The file has no name, and nothing is left of it.
Finding direct_io_of(const std::string& folder, const std::string& there) {
  Finding finding{"direct_io", Status::lack, {}};
  try {
    const io::File file = io::make_nameless_file(there, kProbeBytes, io::DirectIo::automatic);
    finding.detail = {{"folder", folder}, {"direct", file.direct()}, {"alignment_bytes", file.alignment()}};
    finding.status = file.direct() ? Status::ok : Status::warn;
    finding.seen = file.direct() ? fmt::format("{}: O_DIRECT in blocks of {} bytes", folder, file.alignment())
                                 : fmt::format("{}: no O_DIRECT ({}); transfers go through the page cache", folder, file.buffered_reason());
    if (!file.direct()) finding.remedy = "name a folder on ext4 or xfs: the page cache takes CPU time, and memory beside the budgets";
  } catch (const Error& error) {
    finding.seen = fmt::format("{}: no file can be made: {}", folder, error.code() ? error.code().message() : error.what());
    finding.remedy = "name a folder that this user may write to, with space left";
  }
  return finding;
}

Finding free_space_of(const std::string& folder, const std::string& there) {
  const std::uint64_t free = io::free_bytes(there);
  const bool limited = free != std::numeric_limits<std::uint64_t>::max();
  Finding finding{"free_space", Status::ok, fmt::format("{}: {}", folder, limited ? core::format_bytes(free) + " free" : "a file system without a limit of its own")};
  finding.detail = {{"folder", folder}, {"free_bytes", free}};
  if (free < kProbeBytes) {
    finding.status = Status::lack;
    finding.remedy = "free some space: state takes 12 to 16 bytes a parameter, twice where commits are durable";
  }
  return finding;
}

}  // namespace

Findings examine_folder(const std::string& folder) {
  const std::string there = nearest_existing(folder);
  return {file_system_of(folder, there), direct_io_of(folder, there), free_space_of(folder, there)};
}

Findings examine_shared_drives(const std::vector<std::string>& folders) {
  std::map<dev_t, std::string> first_of;
  Findings findings;
  for (const std::string& folder : folders) {
    struct stat status {};
    if (::stat(nearest_existing(folder).c_str(), &status) != 0) continue;
    const auto [place, is_first] = first_of.emplace(status.st_dev, folder);
    if (is_first) continue;
    findings.push_back({"shared_drive", Status::warn, fmt::format("{} and {} are on one file system", place->second, folder),
                        "name folders on different drives in ssd.paths: several on one are no faster"});
  }
  return findings;
}

}  // namespace gsnake::doctor
