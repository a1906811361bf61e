// A new run's state: imported, or as the model's initializers have it.
#pragma once

#include <optional>

#include "convert/import_sources.h"
#include "train/session.h"

namespace gsnake::train {

class NewState {
 public:
  // Checks the folders, if there are any, before anything is made. Throws Error(input).
  explicit NewState(const Session& session);
  // Into the session's store, which was just created; sets session.written.
  void write(Session& session, const store::SetUpProgress& progress) const;

 private:
  std::optional<convert::ImportSources> sources_;
};

}  // namespace gsnake::train
