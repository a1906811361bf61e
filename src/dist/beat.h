// The thread that tells the ranks' store what this rank says of itself, and reads what the others do.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "dist/health.h"
#include "dist/record.h"

namespace gsnake::dist {

// Keys of the store.
std::string key_of(int rank);

// Everything here returns at once: a call of the store blocks for good when its keeper is stopped, and then only the thread hangs.
class Beat {
 public:
  struct News {
    std::vector<Record> records;  // by rank; empty: none yet
    Time at;
    bool lost = false;            // the store is closed
    std::uint64_t told = 0;       // how much of what was said is in the store
  };

  // Every rank's record is in the store.
  Beat(c10::intrusive_ptr<c10d::Store> store, int rank, int count, Span interval);
  // Leaves the thread to itself where it hangs.
  ~Beat();
  Beat(const Beat&) = delete;
  Beat& operator=(const Beat&) = delete;

  // From the next beat on; that is now where it ends something. News::told reaches what this returns when the store has it.
  std::uint64_t say(const Record& record);
  [[nodiscard]] News news() const;
  // No more beats: there is nothing to say, and nothing to hear.
  void stop();

 private:
  struct Shared;
  static void run(const std::shared_ptr<Shared>& shared);
  const std::shared_ptr<Shared> shared_;
};

}  // namespace gsnake::dist
