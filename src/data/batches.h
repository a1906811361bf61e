// Batches of token windows, in an order that can be resumed anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "data/permutation.h"
#include "data/token_source.h"

namespace gsnake::data {

enum class WindowOrder { shuffled, sequential };

struct BatchShape {
  std::int64_t micro_batches = 1;
  std::int64_t rows = 1;             // a micro-batch
  std::int64_t sequence_length = 1;  // tokens a row
};

// One step's tokens: (micro_batches, rows, sequence_length), row-major. labels[i] is the token that follows inputs[i].
struct Batch {
  std::vector<std::int64_t> inputs;
  std::vector<std::int64_t> labels;
};

// Window w of a sequence is its tokens w x sequence_length, ..., with as many labels, shifted by one: it shares one token with window w
// + 1. What is left at the end and fills no window is not used. Batches take windows one after another: rows first, then micro-batches,
// then steps. When the data ends it starts over, in the middle of a batch too: sequential from the start, shuffled in another order, a
// permutation by (seed, pass over the data). Not safe from several threads at once.
class BatchStream {
 public:
  // Throws Error(input) when the tokens do not fill one window (sequence_length + 1).
  BatchStream(TokenSource tokens, BatchShape shape, WindowOrder order, std::uint64_t seed);

  // Fills `batch`, whose memory it allocates at the first call only. Blocks on the drive. Throws what TokenSource::read throws; the stream
  // then stands where it stood.
  void next(Batch& batch);

  // Windows taken since the start of all passes: what a resume has to seek to.
  [[nodiscard]] std::uint64_t cursor() const noexcept { return cursor_; }
  void seek(std::uint64_t cursor) noexcept { cursor_ = cursor; }

  // Windows in one pass over the data, at least 1.
  [[nodiscard]] std::uint64_t windows() const noexcept { return windows_; }

 private:
  [[nodiscard]] std::uint64_t window_at(std::uint64_t cursor);

  TokenSource tokens_;
  BatchShape shape_;
  WindowOrder order_;
  std::uint64_t seed_;
  std::uint64_t windows_;
  std::uint64_t cursor_ = 0;
  std::uint64_t epoch_ = 0;  // whose order permutation_ is
  Permutation permutation_;
  std::vector<std::int64_t> window_;  // sequence_length + 1 tokens
};

}  // namespace gsnake::data
