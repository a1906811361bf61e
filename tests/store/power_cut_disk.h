// Folders whose drives keep, of what was not synced, whatever they like.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "io/durable.h"

namespace gsnake::store::testing {

// Carries the calls out on the real files, without syncing them, and keeps what a drive must hold: a file's bytes since its last fsync, a
// folder's names since its last fsync. cut_power() leaves of the rest a random choice: of each file any mixture of old and new sectors and
// lengths; of the names' changes any subset in any order. die_at() makes the process as good as dead: its calls change nothing any more.
class PowerCutDisk final : public io::SyncOps {
 public:
  static constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

  void add_directory(const std::string& directory) {
    Directory& added = directories_[directory];
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      if (!entry.is_regular_file()) continue;
      const auto inode = std::make_shared<Inode>();
      inode->durable = inode->latest = contents(entry.path().string());
      added.durable[entry.path().filename().string()] = added.current[entry.path().filename().string()] = inode;
    }
  }

  // Before the call of that number from now.
  void die_at(std::size_t call) {
    left_ = call;
    calls_ = 0;
  }
  // Syncs of paths for which `which` says so are not carried out, though they seem to be: for tests of this model.
  void leave_out(std::function<bool(const std::string& path)> which) { left_out_ = std::move(which); }
  [[nodiscard]] std::size_t calls() const noexcept { return calls_; }  // since die_at()

  void cut_power(std::mt19937_64& random) {
    const std::lock_guard guard(mutex_);
    std::erase_if(directories_, [](const auto& directory) { return !std::filesystem::exists(directory.first); });  // emptied, then removed
    for (auto& [directory, names] : directories_) notice(directory, names);
    for (auto& [directory, names] : directories_) {
      for (auto& [name, inode] : names.current) inode->latest = contents(directory + "/" + name);
    }
    for (auto& [directory, names] : directories_) {
      std::shuffle(names.pending.begin(), names.pending.end(), random);
      for (const Change& change : names.pending) {
        if (random() % 2 == 0) apply(change, names.durable);
      }
      for (const auto& [name, inode] : names.current) std::filesystem::remove(directory + "/" + name);
      std::map<const Inode*, std::string> written;
      for (const auto& [name, inode] : names.durable) {
        const std::string path = directory + "/" + name;
        if (inode->durable != inode->latest) inode->durable = mixture(inode->durable, inode->latest, random);
        inode->latest = inode->durable;
        if (const auto [first, is_first] = written.emplace(inode.get(), path); is_first) {
          std::ofstream(path, std::ios::binary) << inode->durable;
        } else {
          std::filesystem::create_hard_link(first->second, path);
        }
      }
      names.pending.clear();
      names.current = names.durable;
    }
  }

  int open(const char* path, int flags, mode_t mode) noexcept override {
    const std::lock_guard guard(mutex_);
    if (!alive()) return -1;
    const bool existed = ::access(path, F_OK) == 0;
    const int fd = ::open(path, flags, mode);
    if (fd >= 0 && !existed) {
      const auto inode = std::make_shared<Inode>();
      change(path, {{name_of(path), inode}});
    }
    return fd;
  }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override {
    const std::lock_guard guard(mutex_);
    return alive() ? ::write(fd, data, std::max<std::size_t>(1, size / 2)) : -1;  // short, as a write may be
  }
  int ftruncate(int fd, off_t size) noexcept override {
    const std::lock_guard guard(mutex_);
    return alive() ? ::ftruncate(fd, size) : -1;
  }
  int fsync(int fd) noexcept override { return synced(fd); }
  int fdatasync(int fd) noexcept override { return synced(fd); }
  int allocate(int fd, off_t offset, off_t size) noexcept override {
    const std::lock_guard guard(mutex_);
    return alive() ? io::kernel_sync().allocate(fd, offset, size) : -1;
  }
  int link(const char* from, const char* to) noexcept override {
    const std::lock_guard guard(mutex_);
    if (!alive()) return -1;
    const int result = ::link(from, to);
    if (result == 0) change(to, {{name_of(to), inode_of(from)}});
    return result;
  }
  int rename(const char* from, const char* to) noexcept override {
    const std::lock_guard guard(mutex_);
    if (!alive()) return -1;
    const auto moved = inode_of(from);
    if (const auto replaced = inode_of(to)) replaced->latest = contents(to);
    const int result = ::rename(from, to);
    // Two names of one file: nothing happens.
    if (result == 0 && moved != inode_of(to)) change(to, {{name_of(from), nullptr}, {name_of(to), moved}});
    return result;
  }
  int unlink(const char* path) noexcept override {
    const std::lock_guard guard(mutex_);
    if (!alive()) return -1;
    if (const auto removed = inode_of(path)) removed->latest = contents(path);
    const int result = ::unlink(path);
    if (result == 0) change(path, {{name_of(path), nullptr}});
    return result;
  }

 private:
  struct Inode {
    std::string durable;
    std::string latest;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  using Change = std::vector<std::pair<std::string, std::shared_ptr<Inode>>>;  // without an inode: the name goes
  struct Directory {
    Names durable;
    Names current;
    std::vector<Change> pending;
  };

  static std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes(std::filesystem::file_size(path), '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return bytes;
  }
  static std::string name_of(const std::string& path) { return std::filesystem::path(path).filename().string(); }
  static std::string parent_of(const std::string& path) { return std::filesystem::path(path).parent_path().string(); }

  static void apply(const Change& change, Names& names) {
    for (const auto& [name, inode] : change) {
      if (inode) {
        names[name] = inode;
      } else {
        names.erase(name);
      }
    }
  }

  static std::string mixture(const std::string& before, const std::string& after, std::mt19937_64& random) {
    constexpr std::size_t kSector = 512;
    std::string mixed = random() % 2 == 0 ? before : after;
    for (std::size_t at = 0; at < mixed.size(); at += kSector) {
      const std::string& source = random() % 2 == 0 ? before : after;
      const std::size_t bytes = std::min(kSector, mixed.size() - at);
      std::string sector = at < source.size() ? source.substr(at, bytes) : "";
      sector.resize(bytes, '\0');
      mixed.replace(at, bytes, sector);
    }
    return mixed;
  }

  // Names that came and went by other calls than ours, as preallocated files and locks do: not synced.
  static void notice(const std::string& directory, Directory& names) {
    std::vector<Change> changes;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      const std::string name = entry.path().filename().string();
      if (entry.is_regular_file() && !names.current.contains(name)) changes.push_back({{name, std::make_shared<Inode>()}});
    }
    for (const auto& [name, inode] : names.current) {
      if (!std::filesystem::exists(directory + "/" + name)) changes.push_back({{name, nullptr}});
    }
    for (const Change& change : changes) {
      names.pending.push_back(change);
      apply(change, names.current);
    }
  }

  bool alive() noexcept {
    if (calls_++ < left_) return true;
    errno = EIO;
    return false;
  }

  void change(const std::string& path, const Change& what) {
    Directory& directory = directories_[parent_of(path)];
    directory.pending.push_back(what);
    apply(what, directory.current);
  }

  std::shared_ptr<Inode> inode_of(const std::string& path) {
    const Names& names = directories_[parent_of(path)].current;
    const auto found = names.find(name_of(path));
    return found == names.end() ? nullptr : found->second;
  }

  int synced(int fd) noexcept {
    const std::lock_guard guard(mutex_);
    if (!alive()) return -1;
    const std::string path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
    if (left_out_ && left_out_(path)) return 0;
    const std::string holder = parent_of(path);
    if (const auto parent = directories_.find(holder); parent != directories_.end()) notice(holder, parent->second);
    if (const auto directory = directories_.find(path); directory != directories_.end()) {
      notice(path, directory->second);
      directory->second.durable = directory->second.current;
      directory->second.pending.clear();
    } else if (const auto inode = inode_of(path)) {
      inode->durable = inode->latest = contents(path);
    }
    return 0;
  }

  std::mutex mutex_;
  std::function<bool(const std::string&)> left_out_;
  std::map<std::string, Directory> directories_;
  std::size_t left_ = kNever;
  std::size_t calls_ = 0;
};

}  // namespace gsnake::store::testing
