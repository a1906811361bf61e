// Going on with a run that is there: its state is whole, and nothing that its numbers depend on has changed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/run_state.h"
#include "greedysnake/config.h"
#include "store/store.h"

namespace gsnake::checkpoint {

// What the process brings. Borrowed during the call.
struct ResumeRequest {
  const Config& config;
  store::StoreOptions storage;
  const store::Layout& scratch;
  const std::vector<std::uint64_t>& elements;    // of each object
  std::vector<std::uint32_t> frozen;             // the objects that are not trained, ascending
  std::string frozen_parameters;                 // as RunState
  std::shared_ptr<const nlohmann::json> data;    // likewise
  bool commits = false;                          // steps are to become durable: state needs two slots
  int compute_threads = 0;                       // what it would compute with, which is part of the maths
  std::string compute_dtype;
  const std::vector<std::string>& allow_change;  // keys whose change is accepted although it changes the maths
  BaseOfRun base = {};                           // of what is packed
};

struct ResumedRun {
  std::unique_ptr<store::Store> store;  // every checksum of its commit was compared, once; where it went back, as the snapshot was copied
  RunState state;
  bool imported = false;                // no step was taken yet: counters begin as a new run's
};

// Throws Error(usage) for what the request changes, before anything is; Error(storage): the run is then as it was, but that its copies agree
// on the commit, and that where storage.from_step asked to go back, it may have gone back.
ResumedRun resume(const ResumeRequest& request);

// What a resume does of it where the store is made of an earlier run of another number of ranks (reshard.h). Throws Error(usage) for what the request changes
// against that run's commit; `layout` is of the whole.
void refuse_changes(const ResumeRequest& request, const nlohmann::json& training, const store::Layout& layout);
// The store, whose commit was just made of checked bytes, as resume() gives it.
ResumedRun resumed(const ResumeRequest& request, std::unique_ptr<store::Store> store);

}  // namespace gsnake::checkpoint
