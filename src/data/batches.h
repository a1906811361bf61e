// Batches of token windows, in an order that can be resumed anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "data/mixture.h"
#include "data/permutation.h"
#include "data/windows.h"
#include "greedysnake/batch.h"

namespace gsnake::data {

struct BatchShape {
  std::int64_t micro_batches = 1;
  std::int64_t rows = 1;             // a micro-batch; of preference pairs, pairs
  std::int64_t sequence_length = 1;  // tokens a row
};

// Windows that are passed over by themselves: windows first, ..., first + count - 1 of `windows`.
struct Part {
  Windows windows;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  double weight = 1.0;  // its share of the rows, relative to the other parts'
};

// Batches take windows one after another: rows first, then micro-batches, then steps; from several parts, in the shares of their weights. A
// part that ends starts over, in the middle of a batch too: sequential from the start, shuffled in another order, a permutation by (seed,
// pass over the part). Not safe from several threads at once.
class BatchStream {
 public:
  // Of one part: all windows of joined documents. Throws Error(input) when there is none.
  BatchStream(TokenSource tokens, BatchShape shape, WindowOrder order, std::uint64_t seed);
  // At least one part, each of at least one window.
  BatchStream(std::vector<Part> parts, BatchShape shape, WindowOrder order, std::uint64_t seed);

  // Fills `batch`, whose memory it allocates at the first call only. Blocks on the drive. Throws what TokenSource::read throws; the stream
  // then stands where it stood.
  void next(Batch& batch);

  // Windows taken since the start of all passes: what a resume has to seek to.
  [[nodiscard]] std::uint64_t cursor() const noexcept { return cursor_; }
  void seek(std::uint64_t cursor) noexcept { cursor_ = cursor; }

  // Windows of all parts, at least 1.
  [[nodiscard]] std::uint64_t windows() const noexcept;
  // Of `wanted` windows from the start, how many there are before one comes a second time.
  [[nodiscard]] std::uint64_t windows_once(std::uint64_t wanted);

  [[nodiscard]] std::size_t parts() const noexcept { return sources_.size(); }
  [[nodiscard]] const Part& part(std::size_t index) const { return sources_[index].part; }
  // Of all rows.
  [[nodiscard]] double share(std::size_t index) const {
    return static_cast<double>(mixture_.quota(index)) / static_cast<double>(mixture_.block());
  }

 private:
  struct Source {
    Part part;
    std::uint64_t seed = 0;
    std::uint64_t pass = 0;  // whose order `permutation` is
    Permutation permutation;
  };

  [[nodiscard]] std::uint64_t window_at(Source& source, std::uint64_t index);

  std::vector<Source> sources_;
  Mixture mixture_;
  BatchShape shape_;
  WindowOrder order_;
  std::uint64_t cursor_ = 0;
};

}  // namespace gsnake::data
