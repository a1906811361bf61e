#include "train/run_folder.h"

#include <array>
#include <filesystem>

#include "convert/carried_files.h"
#include "core/errors.h"
#include "store/folder/claim.h"

namespace gsnake::train {

void make_run_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) core::throw_storage("make the folder", path, error, "set run.dir to a folder that can be written to");
}

RunFolder::RunFolder(const Config& config) {
  if (config.ranks.count == 1 || config.ranks.rank > 0) return;
  make_run_folder(config.run.dir);
  lock_ = store::DirectoryLock::acquire(config.run.dir, "of several ranks");
  const std::array<std::string, 1> also{convert::kCarriedName};
  store::refuse_others(config.run.dir, also);
}

void RunFolder::belongs_to(store::Store& store) {
  if (!lock_) return;
  lock_->set_run_id(store.run_id());
  const std::string& folder = lock_->directory();
  if (store::read_claim(folder)) return;
  store.add_file((std::filesystem::path(folder) / store::kClaimName).string());
  store::write_claim(io::kernel_sync(), folder, {});
}

RunFolder::~RunFolder() {
  if (lock_) lock_->remove();
}

}  // namespace gsnake::train
