#include "run/run_data.h"

#include <utility>

#include "data/identity.h"
#include "greedysnake/error.h"
#include "model/seeding.h"

namespace gsnake::run {
namespace {

void append(Batch& all, const Batch& one) {
  all.inputs.insert(all.inputs.end(), one.inputs.begin(), one.inputs.end());
  all.labels.insert(all.labels.end(), one.labels.begin(), one.labels.end());
  all.starts.insert(all.starts.end(), one.starts.begin(), one.starts.end());
}

}  // namespace

RunData::RunData(const Config& config, const RunRequest& request) : request_(request) {
  if (config.data.train.empty() && !request.make_batches) throw Error(ErrorKind::usage, "data.train = []: name at least one file of text or tokens");
  if (request.make_validation && config.train.validate_every == 0) {
    throw Error(ErrorKind::usage, "train.validate_every = 0: there are batches for validation; say after how many steps they are taken");
  }
  if (request.make_batches && !request.make_validation && config.train.validate_every > 0 && config.data.validation.empty()) {
    throw Error(ErrorKind::usage, "train.validate_every: there is nothing to validate on; give batches for it, name files in data.validation, or set it to 0");
  }
  Config some = config;
  if (some.train.micro_batches < 1) some.train.micro_batches = 1;
  open(some);
}

void RunData::open(const Config& config) {
  micro_batches_ = config.train.micro_batches;
  if (!request_.make_batches) training_.emplace(data::open_training(config));
  if (!request_.make_validation && config.train.validate_every > 0) validation_.emplace(data::open_validation(config));
}

void RunData::settle(const Config& config) {
  if (config.train.micro_batches != micro_batches_) open(config);
  if (request_.make_batches) own_ = request_.make_batches(config);
  if (request_.make_validation) own_validation_ = request_.make_validation(config);
}

void RunData::next(Batch& batch) {
  if (!own_) return training_->next(batch);
  // The program's loader may draw from LibTorch's generator, as units do that compute meanwhile: one after the other.
  const model::ProgramsTurn turn;
  own_->next(batch);
}

DataPosition RunData::position() const {
  return own_ ? DataPosition{0, own_->state()} : DataPosition{training_->cursor(), {}};
}

void RunData::seek(const DataPosition& position) {
  if (own_) return own_->restore(position.state);
  training_->seek(position.cursor);
}

void RunData::validation(Batch& all) {
  if (own_validation_) {
    all = *own_validation_;
    return;
  }
  validation_->stream.seek(0);
  Batch one;
  for (std::int64_t i = 0; i < validation_->batches; ++i) {
    validation_->stream.next(one);
    append(all, one);
  }
}

std::string RunData::identity() const { return own_ ? std::string() : data::identity_of(*training_).dump(); }

std::vector<std::string> RunData::describe(std::uint64_t rows) const {
  return own_ ? std::vector<std::string>{own_->description()} : data::describe(*training_, rows);
}

}  // namespace gsnake::run
