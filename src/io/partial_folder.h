// A folder that appears when it is complete.
#pragma once

#include <string>

#include "core/unique_fd.h"

namespace gsnake::io {

// Everything goes to TO.gsnake-partial, which finish() renames; another that a kill left there is replaced. All throw Error(storage) that
// names the path.
class PartialFolder {
 public:
  // `purpose` completes "cannot PURPOSE TO" in messages ("export to"). Throws Error(usage) when there is something at `to` that is no empty
  // folder, or another process writes to it.
  PartialFolder(const std::string& to, const std::string& purpose);
  // Without finish(), nothing is left.
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  // Absolute, without a slash at its end; what a link to a folder leads to.
  [[nodiscard]] const std::string& to() const noexcept { return to_; }
  [[nodiscard]] std::string path_of(const std::string& name) const { return partial_ + "/" + name; }

  // A new file, to be written; its mode is as the user's umask has it.
  [[nodiscard]] core::UniqueFd create(const std::string& name) const;
  // A small file as a whole, synced.
  void write_file(const std::string& name, const std::string& bytes) const;
  // Gives the folder its name, durably. The files in it are to be synced before.
  void finish();

 private:
  void claim(const std::string& purpose);

  std::string to_;
  std::string partial_;
  core::UniqueFd folder_;  // locked
  bool finished_ = false;
};

}  // namespace gsnake::io
