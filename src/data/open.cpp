#include "data/open.h"

#include <algorithm>
#include <utility>

namespace gsnake::data {

BatchStream open_training(const Config& config) {
  const auto order = config.data.order == "shuffled" ? WindowOrder::shuffled : WindowOrder::sequential;
  const auto access = order == WindowOrder::shuffled ? Access::random : Access::sequential;
  return {TokenSource(config.data.train, config.model.vocab, config.data.separator, access),
          {config.train.micro_batches, config.train.micro_batch_size, config.train.sequence_length},
          order,
          config.train.seed};
}

Validation open_validation(const Config& config) {
  BatchStream stream(TokenSource(config.data.validation, config.model.vocab, config.data.separator, Access::sequential),
                     {1, config.train.micro_batch_size, config.train.sequence_length}, WindowOrder::sequential, config.train.seed);
  const auto whole = static_cast<std::int64_t>(stream.windows()) / config.train.micro_batch_size;
  return {std::move(stream), std::clamp<std::int64_t>(whole, 1, config.train.validation_batches)};
}

}  // namespace gsnake::data
