// Bytes between the ranks of a fake communicator: a socket for each pair.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

namespace gsnake::fake_nccl {

struct Transfer {
  int peer = 0;
  bool incoming = false;
  char* place = nullptr;  // as the device's side sees it
  std::size_t bytes = 0;
};

class Wires {
 public:
  // Meets the other ranks, which name the same place; false when not all are there after a minute.
  bool connect(const std::string& place, int rank, int count);
  ~Wires();

  // Carries them out, those of a peer in their order in each direction; what a rank sends to itself is copied. As a kernel of NCCL's does, it waits for a peer that is gone
  // until stop() is called, and leaves rubbish then. One thread at a time.
  void carry_out(std::vector<Transfer> transfers);
  // From any thread.
  void stop();
  // A peer is gone.
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  bool listen_and_connect(int listener, const std::string& place, int rank, int count);
  void copy_to_self(std::vector<Transfer>& transfers) const;
  bool move(Transfer& transfer);

  int rank_ = 0;
  std::vector<int> sockets_;  // by rank; -1: this one
  std::atomic<bool> stopped_{false};
  std::atomic<bool> broken_{false};
};

}  // namespace gsnake::fake_nccl
