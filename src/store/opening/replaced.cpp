#include "store/opening/replaced.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "store/folder/claim.h"
#include "store/folder/paths.h"
#include "store/folder/share_folder.h"
#include "store/opening/discard.h"
#include "store/opening/find.h"

namespace gsnake::store {
namespace {

namespace fs = std::filesystem;

bool holds_any(const std::string& directory, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return ::access((directory + "/" + name).c_str(), F_OK) == 0; });
}

// rank-I/of-N, and rank-I if nothing else is left of the rank.
void remove_empty_share(const std::string& directory) {
  if (!share_of(directory)) return;
  const std::string of_rank = fs::path(directory).parent_path().string();
  if (::rmdir(directory.c_str()) == 0) static_cast<void>(::rmdir(of_rank.c_str()));
}

}  // namespace

struct ReplacedRun::Held {
  std::vector<std::string> folders;
  Options options;
  io::SyncOps* sync = nullptr;
  Footprint footprint;
};

ReplacedRun::ReplacedRun(const std::vector<std::string>& folders, const Options& options) : held_(std::make_unique<Held>()) {
  held_->options = options;
  held_->sync = options.sync != nullptr ? options.sync : &io::kernel_sync();
  held_->footprint.keep_state();
  for (const std::string& folder : folders) {
    const std::string path = resolved(folder);
    if (is_folder(path) && std::find(held_->folders.begin(), held_->folders.end(), path) == held_->folders.end()) held_->folders.push_back(path);
  }
  for (const std::string& folder : held_->folders) {
    held_->footprint.lock(folder, "being replaced");
    refuse_others(folder, earlier_files_in(folder));
  }
}

ReplacedRun::ReplacedRun(ReplacedRun&& other) noexcept = default;
ReplacedRun::~ReplacedRun() = default;

void ReplacedRun::remove() {
  const std::vector<std::string>& folders = held_->folders;
  {
    const std::vector<Pin> pins = exclude_readers_of(folders, [this] {
      if (held_->options.progress) held_->options.progress("waiting for a process that reads the run", 0, 0);
    });
    discard_run(*held_->sync, folders, held_->footprint);
    for (const std::string& folder : folders) remove_file(*held_->sync, folder + "/" + FileNames().pin());
  }
  for (const std::string& folder : folders) {
    sync_directory(*held_->sync, folder);  // what is claimed is gone before the claim is
    if (!holds_any(folder, held_->options.names_in_run_dir)) remove_file(*held_->sync, folder + "/" + kClaimName);
  }
  const std::vector<std::string> left = folders;
  held_.reset();  // the locks' files go
  for (const std::string& folder : left) remove_empty_share(folder);
}

}  // namespace gsnake::store
