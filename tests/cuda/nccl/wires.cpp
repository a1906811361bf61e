#include "nccl/wires.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace gsnake::fake_nccl {
namespace {

constexpr auto kLongest = std::chrono::minutes(1);
constexpr auto kBetweenTries = std::chrono::milliseconds(5);
constexpr int kRoundMs = 5;

// In the abstract namespace: it goes with its last socket.
sockaddr_un address_of(const std::string& place, int rank, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "gsnake-nccl-" + place + "-" + std::to_string(rank);
  std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof(address.sun_path) - 1));
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

int new_socket() { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }

bool send_number(int socket, int number) { return ::send(socket, &number, sizeof number, MSG_NOSIGNAL) == sizeof number; }
bool receive_number(int socket, int& number) { return ::recv(socket, &number, sizeof number, MSG_WAITALL) == sizeof number; }

int connected_to(const std::string& place, int peer) {
  const auto ends = std::chrono::steady_clock::now() + kLongest;
  socklen_t length = 0;
  const sockaddr_un address = address_of(place, peer, length);
  while (std::chrono::steady_clock::now() < ends) {
    const int socket = new_socket();
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), length) == 0) return socket;
    ::close(socket);
    std::this_thread::sleep_for(kBetweenTries);
  }
  return -1;
}

}  // namespace

bool Wires::connect(const std::string& place, int rank, int count) {
  rank_ = rank;
  sockets_.assign(static_cast<std::size_t>(count), -1);
  const int listener = new_socket();
  const bool connected = listen_and_connect(listener, place, rank, count);
  ::close(listener);
  return connected;
}

bool Wires::listen_and_connect(int listener, const std::string& place, int rank, int count) {
  socklen_t length = 0;
  const sockaddr_un own = address_of(place, rank, length);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&own), length) != 0 || ::listen(listener, count) != 0) return false;
  for (int peer = 0; peer < rank; ++peer) {
    const int socket = connected_to(place, peer);
    sockets_[static_cast<std::size_t>(peer)] = socket;
    if (socket < 0 || !send_number(socket, rank)) return false;
  }
  for (int left = count - rank - 1; left > 0; --left) {
    pollfd waiting{listener, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(kLongest).count())) != 1) return false;
    const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    int peer = 0;
    if (socket < 0 || !receive_number(socket, peer)) return false;
    sockets_[static_cast<std::size_t>(peer)] = socket;
  }
  return true;
}

Wires::~Wires() {
  for (const int socket : sockets_) {
    if (socket >= 0) ::close(socket);
  }
}

void Wires::stop() {
  stopped_ = true;
  for (const int socket : sockets_) {
    if (socket >= 0) ::shutdown(socket, SHUT_RDWR);
  }
}

// The first that is sent goes to the first that comes, and so on.
void Wires::copy_to_self(std::vector<Transfer>& transfers) const {
  std::vector<Transfer> sent;
  std::vector<Transfer> come;
  for (const Transfer& transfer : transfers) {
    if (transfer.peer == rank_) (transfer.incoming ? come : sent).push_back(transfer);
  }
  for (std::size_t i = 0; i < std::min(sent.size(), come.size()); ++i) std::memmove(come[i].place, sent[i].place, std::min(come[i].bytes, sent[i].bytes));
  std::erase_if(transfers, [this](const Transfer& transfer) { return transfer.peer == rank_; });
}

// As much as goes now; false: the peer is gone.
bool Wires::move(Transfer& transfer) {
  const int socket = sockets_[static_cast<std::size_t>(transfer.peer)];
  const ssize_t moved = transfer.incoming ? ::recv(socket, transfer.place, transfer.bytes, MSG_DONTWAIT) : ::send(socket, transfer.place, transfer.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (moved < 0) return errno == EAGAIN || errno == EINTR;
  if (moved == 0 && transfer.incoming) return false;
  transfer.place += moved;
  transfer.bytes -= static_cast<std::size_t>(moved);
  return true;
}

void Wires::carry_out(std::vector<Transfer> transfers) {
  copy_to_self(transfers);
  std::erase_if(transfers, [](const Transfer& transfer) { return transfer.bytes == 0; });
  while (!transfers.empty() && !stopped_) {
    std::vector<pollfd> waiting;
    for (std::size_t i = 0; i < transfers.size(); ++i) {
      Transfer& transfer = transfers[i];
      const auto before = transfers.begin() + static_cast<std::ptrdiff_t>(i);
      const bool first = std::none_of(transfers.begin(), before, [&](const Transfer& other) { return other.peer == transfer.peer && other.incoming == transfer.incoming; });
      if (first && !broken_ && !move(transfer)) broken_ = true;
      waiting.push_back({sockets_[static_cast<std::size_t>(transfer.peer)], static_cast<short>(transfer.incoming ? POLLIN : POLLOUT), 0});
    }
    std::erase_if(transfers, [](const Transfer& transfer) { return transfer.bytes == 0; });
    if (broken_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kRoundMs));
    } else if (!transfers.empty()) {
      ::poll(waiting.data(), waiting.size(), kRoundMs);
    }
  }
  for (const Transfer& transfer : transfers) {
    if (transfer.incoming) std::memset(transfer.place, 0xff, transfer.bytes);
  }
}

}  // namespace gsnake::fake_nccl
