// The profile of the machine that a run is on.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "plan/temporaries.h"
#include "sim/profile.h"
#include "train/unit_times.h"

namespace gsnake::train {

enum class Measuring : std::uint8_t { never, if_missing, anew };

struct MachineRequest {
  std::string file;  // a profile; empty: this machine's own
  Measuring measuring = Measuring::never;
  bool computes = true;      // units that the profile does not know are measured and kept; false: nothing is computed
  bool finds_peaks = false;  // dry runs of the model's units tell what LibTorch takes, on this machine, whatever the profile is of
  std::string base_format = {};  // plans stand for a base in this format, "nf4" or "nf4,bf16" with that of embeddings and head, that need not exist; "": config.adapter.base
  double seconds = 25.0;     // that measuring should take
  std::function<void(const std::string& what)> told = {};  // of what is measured; may throw to end it
};

struct KnownMachine {
  sim::MachineProfile profile;
  plan::MeasuredPeaks peaks;  // of LibTorch's temporaries here; of nothing where no unit was computed
  bool measured = false;      // now
};

// Of a file: as it is. Of this machine: what was kept for this hardware and these paths, with the times of this model's units, which are
// measured (seconds) and kept where they are not there yet and the request lets units be computed. Nothing where there is none and none is to be measured. What can't be kept is a
// warning.
std::optional<KnownMachine> known_machine(Model& model, const Config& config, const plan::ModelLayout& layout, const MachineRequest& request);

// Into what was kept of this machine, where that was measured: for the plans of other runs of several ranks. What can't be kept is a warning.
void keep_link(const Config& config, const sim::LinkProfile& link);

}  // namespace gsnake::train
