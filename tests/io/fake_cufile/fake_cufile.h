// A libcufile that transfers for real, between files and the memory it is given, and fails where a test says: what the cuFile engine is
// tested on where there is no GPU. A shared object of its own, which the engine opens as it opens NVIDIA's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace gsnake::io::testing::fake_cufile {

enum class Call : std::uint8_t {
  driver_open,
  driver_close,
  driver_get_properties,
  handle_register,
  handle_deregister,
  buffer_register,
  buffer_deregister,
  read,
  write
};
inline constexpr std::size_t kCalls = 9;

struct Failure {
  Call call = Call::read;
  int nth = 1;    // the first call of its kind is 1
  int code = 0;   // a CUfileOpError; of read and write also a negative errno
  int times = 1;  // so many calls in a row
};

// Of all calls from now on.
struct Script {
  std::vector<Failure> failures{};
  std::size_t longest_transfer = SIZE_MAX;     // bytes of one call
  std::uint64_t harmless = 0;                  // a seed for short, interrupted and refused transfers that an engine makes good; 0: none
  std::chrono::microseconds longest_delay{0};  // of transfers, so that they end in another order; drawn from the seed
  bool nvidia_fs = true;                       // else compatibility mode, unless:
  bool peer_to_peer = false;
  bool forced_compatibility = false;
  bool opened_by_another = false;  // in this process, who closes it as well
  // Called before a transfer, without a lock.
  std::function<void(Call call, std::uint64_t offset)> before_transfer{};
};

void follow(Script script);

// GPU memory: the addresses of `device` stand for the bytes of `bytes`, which alone are touched. Until follow() is called again.
void map_device_memory(std::span<std::byte> device, std::byte* bytes);

// Since follow().
[[nodiscard]] int calls(Call call);
// What is registered or open now: "" or "2 files, 1 buffer, driver".
[[nodiscard]] std::string leaks();
// What no caller may do, as calls on files that are not registered or registering twice; empties the list.
[[nodiscard]] std::vector<std::string> take_misuse();

}  // namespace gsnake::io::testing::fake_cufile
