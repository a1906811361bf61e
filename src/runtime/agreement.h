// What all ranks that run a step together must decide alike, on the host.
#pragma once

#include <span>

namespace gsnake::runtime {

// Every rank makes the same calls in the same order; one thread at a time.
class Agreement {
 public:
  virtual ~Agreement() = default;
  [[nodiscard]] virtual int ranks() const = 0;
  // Everybody's `own`, all of one length, one after another by rank in `all`. Returns once every rank has come. Throws when a rank has failed or
  // has left.
  virtual void share(std::span<const double> own, std::span<double> all) = 0;
  // This rank leaves: no call of any rank waits for it any more. From any thread, any number of times.
  virtual void abort() noexcept = 0;
};

}  // namespace gsnake::runtime
