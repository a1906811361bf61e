#include "dist/environment.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "core/errors.h"
#include "core/unique_fd.h"

namespace gsnake::dist {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string needed(const char* name) {
  const std::string value = variable(name);
  if (value.empty()) throw Error(ErrorKind::usage, fmt::format("{} is not set: where do the ranks meet? Start every rank with torchrun's variables (docs/ranks.md)", name));
  return value;
}

std::uint16_t port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) throw Error(ErrorKind::usage, fmt::format("MASTER_PORT = {}: must be an integer in 1..65535", text));
  return port;
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// Null, and why, where the name is unknown.
Addresses look_up(const MeetingPlace& place, int type, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = type;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(place.host.c_str(), std::to_string(place.port).c_str(), &hints, &found);
  if (error != 0) why = fmt::format("its name cannot be looked up: {}", ::gai_strerror(error));
  return {error == 0 ? found : nullptr, &::freeaddrinfo};
}

// An errno; 0: it is there.
int try_to_connect(const addrinfo& to) {
  constexpr int kLongestMs = 1000;
  const core::UniqueFd socket(::socket(to.ai_family, to.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to.ai_protocol));
  if (!socket) return errno;
  if (::connect(socket.get(), to.ai_addr, to.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd connected{socket.get(), POLLOUT, 0};
  const int ready = ::poll(&connected, 1, kLongestMs);
  if (ready <= 0) return ready == 0 ? ETIMEDOUT : errno;
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

// The kernel chooses a route, and with it the own address, when a datagram's socket is connected. Empty, and errno, where there is none.
std::string own_address(const addrinfo& towards) {
  const core::UniqueFd socket(::socket(towards.ai_family, towards.ai_socktype | SOCK_CLOEXEC, towards.ai_protocol));
  if (!socket || ::connect(socket.get(), towards.ai_addr, towards.ai_addrlen) != 0) return {};
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  std::array<char, NI_MAXHOST> text{};
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0) return {};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&own), length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) return {};
  return text.data();
}

// What launchers tell every rank of a job alike, and no other job.
std::string job() {
  for (const char* name : {"SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE"}) {
    const std::string id = variable(name);
    if (!id.empty() && id != "none") return std::string(name) + " = " + id;
  }
  return {};
}

}  // namespace

MeetingPlace meeting_place() {
  MeetingPlace place;
  place.host = needed("MASTER_ADDR");
  place.port = port_of(needed("MASTER_PORT"));
  place.launchers = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  place.prefix = "greedysnake/" + variable("TORCHELASTIC_RESTART_COUNT");
  place.job = job();
  return place;
}

std::optional<std::string> unreachable(const MeetingPlace& place) {
  std::string why;
  const Addresses addresses = look_up(place, SOCK_STREAM, why);
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    const int error = try_to_connect(*one);
    if (error == 0) return std::nullopt;
    why = core::errno_code(error).message();
  }
  return why;
}

std::string address_towards(const MeetingPlace& place) {
  std::string why;
  const Addresses addresses = look_up(place, SOCK_DGRAM, why);
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    if (const std::string own = own_address(*one); !own.empty()) return own;
    why = core::errno_code().message();
  }
  throw Error(ErrorKind::usage, fmt::format("MASTER_ADDR = {}: no network of this machine reaches it: {}", place.host, why));
}

std::vector<std::string> chosen_interfaces() {
  std::vector<std::string> names;
  const std::string all = variable("GLOO_SOCKET_IFNAME");
  for (std::string_view left = all; !left.empty();) {
    const std::string_view name = left.substr(0, left.find(','));
    if (!name.empty()) names.emplace_back(name);
    left.remove_prefix(std::min(left.size(), name.size() + 1));
  }
  return names;
}

}  // namespace gsnake::dist
