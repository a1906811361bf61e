#include "checkpoint/resume.h"

#include "core/bytes.h"
#include "core/log.h"
#include "data/identity.h"
#include "greedysnake/error.h"
#include "store/layout/layout.h"

namespace gsnake::checkpoint {
namespace {

// Lines as a check of the state goes on, if it takes long enough.
store::ByteProgress verification_lines() {
  return [tenths = std::uint64_t{0}](std::uint64_t done, std::uint64_t total) mutable {
    constexpr std::uint64_t kWorthALine = 1ULL << 30;
    if (total < kWorthALine || done * 10 / total == tenths) return;
    tenths = done * 10 / total;
    spdlog::info("checking the state against its checksums: {} of {}", core::format_bytes(done), core::format_bytes(total));
  };
}

bool is_imported(const nlohmann::json& training) { return training.value("imported", false); }

// An imported run has no steps yet that a change of the maths could belie.
void refuse_changed_training(const nlohmann::json& training, const ResumeRequest& request) {
  if (is_imported(training)) return refuse_changed_storage(config_from(training), request.config);
  const RunState before = run_state_from(training);
  const std::optional<std::string> changed_data =
      request.data && before.data ? std::optional(data::difference(*before.data, *request.data)) : std::nullopt;
  refuse_changed_maths(config_from(training), request.config, changed_data, request.allow_change);
  refuse_changed_compute(before, request.compute_threads, request.compute_dtype, request.allow_change);
}

void refuse_other_storage(const nlohmann::json& training, const store::Layout& layout, const ResumeRequest& request) {
  const std::string& folder = request.config.run.dir;
  if (run_state_from(training).elements != request.elements) {
    throw Error(ErrorKind::usage, "model: its units have other sizes than those of the run in " + folder);
  }
  const store::KindLayout& weights = layout.kinds[core::index_of(store::Kind::weights)];
  const std::string before = run_state_from(training).frozen_parameters;
  if (weights.frozen != request.frozen || (!before.empty() && before != request.frozen_parameters)) {
    throw Error(ErrorKind::usage, "model: other parameters take gradients than when the run in " + folder +
                                      " was made, which is stored accordingly; let the same ones take gradients, or start a new run from an export of this one");
  }
}

void refuse_too_few_slots(const store::Layout& layout, const ResumeRequest& request) {
  if (!request.commits || store::state_slots(layout) >= 2) return;
  throw Error(ErrorKind::usage, "run.durability was \"off\" when the run in " + request.config.run.dir +
                                    " was made: its files have room for one copy of the state; set it back to \"off\"");
}

}  // namespace

void refuse_changes(const ResumeRequest& request, const nlohmann::json& training, const store::Layout& layout) {
  refuse_changed_training(training, request);
  refuse_other_base(training, request.base.id, request.config);
  refuse_other_storage(training, layout, request);
}

ResumedRun resumed(const ResumeRequest& request, std::unique_ptr<store::Store> store) {
  ResumedRun run;
  run.store = std::move(store);
  const nlohmann::json& training = run.store->manifest()->training;
  run.state = run_state_from(training);
  run.imported = is_imported(training);
  run.state.data = request.data;
  run.state.base = request.base;
  if (run.imported) {
    run.state.compute_threads = request.compute_threads;
    run.state.compute_dtype = request.compute_dtype;
  }
  return run;
}

ResumedRun resume(const ResumeRequest& request) {
  store::StoreOptions storage = request.storage;
  storage.accept = [&](const nlohmann::json& training, const store::Layout& layout) {
    refuse_changes(request, training, layout);
    refuse_too_few_slots(layout, request);
  };
  ResumedRun run = resumed(request, store::Store::open(storage, request.scratch));
  run.store->ensure_verified([&, log = verification_lines()](std::uint64_t done, std::uint64_t total) {
    log(done, total);
    if (request.storage.progress) request.storage.progress("checking the state against its checksums", done, total);
  });
  return run;
}

}  // namespace gsnake::checkpoint
