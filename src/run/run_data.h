// What a run is trained and validated on: the config's files, or the program's own batches.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/open.h"
#include "greedysnake/batch_source.h"
#include "greedysnake/run.h"

namespace gsnake::run {

class RunData {
 public:
  // Opens files before anything is made, so that a missing one leaves nothing behind. The program is asked for its own when train.micro_batches is known: the
  // config's that are less than 1 stand for 1 until settle().
  RunData(const Config& config, const RunRequest& request);
  void settle(const Config& config);

  void next(Batch& batch);
  [[nodiscard]] DataPosition position() const;
  void seek(const DataPosition& position);

  [[nodiscard]] bool validates() const { return validation_ || own_validation_; }
  // All of the validation's micro-batches.
  void validation(Batch& all);

  // What the data is, wherever it lies, as JSON; "" for the program's own, of which nothing is known.
  [[nodiscard]] std::string identity() const;
  // A line on each part. `rows`: that training takes of it.
  [[nodiscard]] std::vector<std::string> describe(std::uint64_t rows) const;

 private:
  void open(const Config& config);

  const RunRequest& request_;
  std::int64_t micro_batches_ = 0;  // that files were opened for
  std::optional<data::BatchStream> training_;
  std::optional<data::Validation> validation_;
  std::unique_ptr<BatchSource> own_;
  std::optional<Batch> own_validation_;
};

}  // namespace gsnake::run
