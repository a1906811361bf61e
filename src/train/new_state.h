// A new run's state: imported from model.from, or as the model's initializer has it.
#pragma once

#include <optional>

#include "convert/import_plan.h"
#include "hf/weights_folder.h"
#include "train/session.h"

namespace gsnake::train {

class NewState {
 public:
  // Checks the folder, if there is one, before anything is made. Throws Error(input).
  explicit NewState(const Session& session);
  // Into the session's store, which was just created; sets session.written.
  void write(Session& session, const store::SetUpProgress& progress) const;

 private:
  std::optional<hf::WeightsFolder> folder_;
  convert::ImportPlan plan_;
};

}  // namespace gsnake::train
