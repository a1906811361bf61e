// Where ranks meet, as torchrun's variables say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gsnake::dist {

struct MeetingPlace {
  std::string host;
  std::uint16_t port = 0;
  bool launchers = false;  // torchrun's agent keeps the store there; else rank 0 does
  std::string prefix;      // of all keys: those of an earlier start of the same job do not count
  std::string job;         // which one, as its launcher says it; may be empty

  [[nodiscard]] std::string name() const { return host + ":" + std::to_string(port); }
};

// MASTER_ADDR, MASTER_PORT, TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT, and what launchers call a job. Throws Error(usage), which names the variable.
MeetingPlace meeting_place();

// Whether somebody listens there; if not, why: one attempt, which takes a second at most.
std::optional<std::string> unreachable(const MeetingPlace& place);

// Of this machine, on the network that reaches that place: nothing is sent. Throws Error(usage) where no network does.
std::string address_towards(const MeetingPlace& place);

// GLOO_SOCKET_IFNAME's, which are used instead of the address where there are any.
std::vector<std::string> chosen_interfaces();

}  // namespace gsnake::dist
