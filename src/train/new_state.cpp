#include "train/new_state.h"

#include <fmt/format.h>

#include "convert/carried_files.h"
#include "convert/import_weights.h"
#include "train/initial_state.h"

namespace gsnake::train {

NewState::NewState(const Session& session) {
  if (convert::has_sources(session.config)) sources_.emplace(session.model, session.layout, session.config, session.base ? &*session.base : nullptr);
}

void NewState::write(Session& session, const store::SetUpProgress& progress) const {
  const Config& config = session.config;
  const std::string& folder = session.base ? config.adapter.base : config.model.from;
  const optim::WeightFormat format = session.numerics.optimizer.weights;
  checkpoint::StateHashes& hashes = session.written.emplace(session.program.map);
  const auto told = [&](const std::string& what, std::uint64_t done, std::uint64_t total) {
    if (progress) progress(what, done, total);
  };
  if (sources_) {
    convert::import_weights(sources_->plan(), session.layout, format, session.program.map, *session.store, hashes,
                   [&](std::uint64_t done, std::uint64_t total) { told("importing the weights of " + folder, done, total); });
  } else {
    write_initial_weights(session.model, session.layout, format, config.train.seed, session.problem, *session.store, hashes,
                          [&](std::size_t unit, std::size_t units) {
                            told(fmt::format("writing the initial weights of unit {} of {}", unit + 1, units), 0, 0);
                          });
  }
  hashes.rest_is_zero();
  if (config.ranks.rank == 0) convert::carry_files(folder, *session.store, config.run.dir);
}

}  // namespace gsnake::train
