#include "train/run_folder.h"

#include <array>
#include <filesystem>

#include "convert/carried_files.h"
#include "core/errors.h"
#include "greedysnake/ranks.h"
#include "store/folder/claim.h"

namespace gsnake::train {

RunFolder::RunFolder(const Config& config, store::Store& store) {
  if (config.ranks.count == 1 || config.ranks.local_rank > 0) return;  // the store holds it, or another rank does
  const std::string& folder = config.run.dir;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) core::throw_storage("make the folder", folder, error, "set run.dir to a folder that can be written to");
  lock_ = store::DirectoryLock::acquire(folder, store.run_id());
  const std::array<std::string, 1> also{convert::kCarriedName};
  store::refuse_others(folder, also);
  if (store::read_claim(folder)) return;
  store.add_file((std::filesystem::path(folder) / store::kClaimName).string());
  store::write_claim(io::kernel_sync(), folder, {});
}

RunFolder::~RunFolder() {
  if (lock_) lock_->remove();
}

}  // namespace gsnake::train
