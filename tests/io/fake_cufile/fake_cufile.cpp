#include "fake_cufile.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "io/cufile_calls.h"

namespace gsnake::io::testing::fake_cufile {
namespace {

using cufile::Status;

constexpr std::size_t kPage = 4096;  // direct files take nothing smaller
constexpr int kInvalidValue = 5022;
constexpr int kHandleNotRegistered = 5027;

struct Handle {
  int fd = -1;
};

struct Registered {
  std::size_t size = 0;
  int uses = 0;
};

// What a transfer was drawn to be.
struct Draw {
  std::size_t limit = SIZE_MAX;
  std::chrono::microseconds delay{0};
  int code = 0;  // instead of a transfer
};

class Fake {
 public:
  void follow(Script script) {
    const std::lock_guard lock(mutex_);
    random_.seed(script.harmless);
    if (script.opened_by_another || script_.opened_by_another) open_ = script.opened_by_another;
    script_ = std::move(script);
    counts_ = {};
    device_ = {};
    device_bytes_ = nullptr;
  }
  void map_device_memory(std::span<std::byte> device, std::byte* bytes) {
    const std::lock_guard lock(mutex_);
    device_ = device;
    device_bytes_ = bytes;
  }
  int calls(Call call) {
    const std::lock_guard lock(mutex_);
    return counts_[static_cast<std::size_t>(call)];
  }
  std::string leaks() {
    const std::lock_guard lock(mutex_);
    std::string text;
    if (!handles_.empty()) text += std::to_string(handles_.size()) + " files, ";
    if (!buffers_.empty()) text += std::to_string(buffers_.size()) + " buffers, ";
    if (open_ && !script_.opened_by_another) text += "driver, ";
    if (!text.empty()) text.erase(text.size() - 2);
    return text;
  }
  std::vector<std::string> take_misuse() {
    const std::lock_guard lock(mutex_);
    return std::exchange(misuse_, {});
  }

  Status driver_open() {
    const std::lock_guard lock(mutex_);
    if (const int code = count(Call::driver_open)) return {code, 0};
    if (script_.opened_by_another) return {cufile::code::kDriverAlreadyOpen, 0};
    check(!open_, "cuFileDriverOpen of an open driver");
    open_ = true;
    return {};
  }
  Status driver_close() {
    const std::lock_guard lock(mutex_);
    check(open_ && !script_.opened_by_another, "cuFileDriverClose of a driver that is closed, or another's");
    check(handles_.empty() && buffers_.empty(), "cuFileDriverClose while files or memory are registered");
    open_ = false;
    return {count(Call::driver_close), 0};
  }
  Status get_properties(cufile::DriverProperties& properties) {
    const std::lock_guard lock(mutex_);
    if (const int code = count(Call::driver_get_properties)) return {code, 0};
    properties = {};
    if (script_.nvidia_fs) properties.nvfs.major = 2;
    if (script_.nvidia_fs) properties.nvfs.minor = 24;
    if (script_.peer_to_peer) properties.nvfs.status = 1U << cufile::DriverProperties::kNvmePeerToPeer;
    return {};
  }
  bool forced_compatibility() {
    const std::lock_guard lock(mutex_);
    return script_.forced_compatibility;
  }

  Status handle_register(void*& handle, int fd) {
    const std::lock_guard lock(mutex_);
    check(open_, "cuFileHandleRegister without a driver");
    if (const int code = count(Call::handle_register)) return {code, code == cufile::code::kCudaDriverError ? 999 : 0};
    for (const auto& [known, file] : handles_) check(file.fd != fd, "cuFileHandleRegister of a file that is registered");
    handle = new Handle{fd};
    handles_[handle] = {fd};
    return {};
  }
  void handle_deregister(void* handle) {
    const std::lock_guard lock(mutex_);
    static_cast<void>(count(Call::handle_deregister));
    check(handles_.erase(handle) == 1, "cuFileHandleDeregister of an unknown file");
    delete static_cast<Handle*>(handle);
  }

  Status buffer_register(const std::byte* base, std::size_t size) {
    const std::lock_guard lock(mutex_);
    check(open_, "cuFileBufRegister without a driver");
    if (const int code = count(Call::buffer_register)) return {code, 0};
    check(!buffers_.contains(base), "cuFileBufRegister of memory that is registered");
    buffers_[base] = {size, 0};
    return {};
  }
  Status buffer_deregister(const std::byte* base) {
    const std::lock_guard lock(mutex_);
    const auto found = buffers_.find(base);
    check(found != buffers_.end(), "cuFileBufDeregister of unknown memory");
    if (found == buffers_.end()) return {kInvalidValue, 0};
    check(found->second.uses == 0, "cuFileBufDeregister of memory that a transfer uses");
    buffers_.erase(found);
    return {count(Call::buffer_deregister), 0};
  }

  ssize_t transfer(Call call, void* handle, std::byte* base, std::size_t size, off_t offset, off_t base_offset) {
    std::unique_lock lock(mutex_);
    check(open_, "a transfer without a driver");
    check(size > 0, "a transfer of nothing");
    const int failure = count(call);
    const Draw draw = draw_transfer(size, failure);
    const auto file = handles_.find(handle);
    check(file != handles_.end(), "a transfer on a file that is not registered");
    if (file == handles_.end()) return -kHandleNotRegistered;
    const int fd = file->second.fd;
    const auto buffer = buffers_.find(base);
    const bool registered = buffer != buffers_.end();
    const auto start = static_cast<std::size_t>(base_offset);
    if (registered && (start > buffer->second.size || size > buffer->second.size - start)) {
      misuse_.emplace_back("a transfer beyond registered memory");
      return -cufile::code::kInvalidMappingRange;
    }
    if (registered) ++buffer->second.uses;
    std::byte* const data = bytes_of(base + base_offset);
    const auto before = script_.before_transfer;
    lock.unlock();
    if (before) before(call, static_cast<std::uint64_t>(offset));
    if (draw.delay.count() > 0) std::this_thread::sleep_for(draw.delay);
    ssize_t result = 0;
    int number = 0;
    if (draw.code != 0) {
      result = draw.code < 0 ? -1 : -draw.code;
      number = -draw.code;
    } else {
      const std::size_t bytes = std::min(size, draw.limit);
      result = call == Call::read ? ::pread(fd, data, bytes, offset) : ::pwrite(fd, data, bytes, offset);
      number = errno;
    }
    lock.lock();
    if (registered) --buffers_.at(base).uses;
    lock.unlock();
    if (result == -1) errno = number;
    return result;
  }

 private:
  // What the script says of this call: 0, or how it fails.
  int count(Call call) {
    const int nth = ++counts_[static_cast<std::size_t>(call)];
    for (const Failure& failure : script_.failures) {
      if (failure.call == call && nth >= failure.nth && nth < failure.nth + failure.times) return failure.code;
    }
    return 0;
  }
  void check(bool kept, const char* what) {
    if (!kept) misuse_.emplace_back(what);
  }

  Draw draw_transfer(std::size_t size, int failure) {
    Draw draw{.limit = script_.longest_transfer, .code = failure};
    if (script_.longest_delay.count() > 0 && random_() % 2 == 0) {
      draw.delay = std::chrono::microseconds(random_() % static_cast<std::uint64_t>(script_.longest_delay.count()));
    }
    if (script_.harmless == 0 || failure != 0) return draw;
    constexpr std::array kBusy{-EINTR, -EAGAIN, cufile::code::kNoMemory};
    const std::uint64_t fate = random_() % 16;
    if (fate < kBusy.size()) draw.code = kBusy[fate];
    if (size > kPage && random_() % 4 == 0) draw.limit = kPage * (1 + random_() % (size / kPage));
    return draw;
  }

  std::byte* bytes_of(std::byte* address) const {
    const bool on_device = address >= device_.data() && address < device_.data() + device_.size();
    return on_device ? device_bytes_ + (address - device_.data()) : address;
  }

  std::mutex mutex_;
  Script script_;
  std::mt19937_64 random_;
  std::array<int, kCalls> counts_{};
  bool open_ = false;
  std::map<void*, Handle> handles_;
  std::map<const void*, Registered> buffers_;
  std::span<std::byte> device_;
  std::byte* device_bytes_ = nullptr;
  std::vector<std::string> misuse_;
};

Fake& fake() {
  static Fake& one = *new Fake;  // outlives whoever still uses it at exit
  return one;
}

}  // namespace

void follow(Script script) { fake().follow(std::move(script)); }
void map_device_memory(std::span<std::byte> device, std::byte* bytes) { fake().map_device_memory(device, bytes); }
int calls(Call call) { return fake().calls(call); }
std::string leaks() { return fake().leaks(); }
std::vector<std::string> take_misuse() { return fake().take_misuse(); }

}  // namespace gsnake::io::testing::fake_cufile

// ---- What libcufile exports ----

using gsnake::io::cufile::Descriptor;
using gsnake::io::cufile::DriverProperties;
using gsnake::io::cufile::Status;
using namespace gsnake::io::testing::fake_cufile;

extern "C" {

Status cuFileDriverOpen() { return fake().driver_open(); }
Status cuFileDriverGetProperties(DriverProperties* properties) { return fake().get_properties(*properties); }
Status cuFileHandleRegister(void** handle, Descriptor* descriptor) { return fake().handle_register(*handle, descriptor->file.fd); }
void cuFileHandleDeregister(void* handle) { fake().handle_deregister(handle); }
Status cuFileBufRegister(const void* base, std::size_t size, int /*flags*/) {
  return fake().buffer_register(static_cast<const std::byte*>(base), size);
}
Status cuFileBufDeregister(const void* base) { return fake().buffer_deregister(static_cast<const std::byte*>(base)); }
ssize_t cuFileWrite(void* handle, const void* base, std::size_t size, off_t offset, off_t base_offset) {
  return fake().transfer(Call::write, handle, static_cast<std::byte*>(const_cast<void*>(base)), size, offset, base_offset);
}
#ifndef FAKE_CUFILE_WITHOUT_READ
ssize_t cuFileRead(void* handle, void* base, std::size_t size, off_t offset, off_t base_offset) {
  return fake().transfer(Call::read, handle, static_cast<std::byte*>(base), size, offset, base_offset);
}
#endif
#ifdef FAKE_CUFILE_OLD  // before versions, parameters and the second close
Status cuFileDriverClose() { return fake().driver_close(); }
#else
Status cuFileDriverClose_v2() { return fake().driver_close(); }
Status cuFileGetVersion(int* version) {
  *version = 1150;
  return {};
}
Status cuFileGetParameterBool(int /*parameter*/, bool* value) {
  *value = fake().forced_compatibility();
  return {};
}
#endif
}
