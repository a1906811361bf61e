#include "io/cufile_driver.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "io/cufile.h"

namespace gsnake::io::cufile {
namespace {

constexpr const char* kCudaDriver = "libcuda.so.1";
constexpr const char* kInstallDriver = "install NVIDIA's driver, or set ssd.engine = \"io_uring\"";
constexpr const char* kInstallLibrary =
    "install the CUDA toolkit's libcufile, name its path in GSNAKE_CUFILE, or set ssd.engine = \"io_uring\"";

// Without the CUDA driver, NVIDIA's library fails to open, but not before it has written to stderr and into cufile.log in the current
// folder: so the driver is looked for first. A library that was named is taken at its word.
void require_cuda_driver(const std::string& library) {
  if (library != kCuFileLibrary) return;
  if (void* driver = ::dlopen(kCudaDriver, RTLD_LAZY | RTLD_LOCAL); driver != nullptr) {
    ::dlclose(driver);
    return;
  }
  throw Unavailable(::dlerror(), kInstallDriver);
}

void* load(const std::string& library) {
  void* const loaded = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (loaded == nullptr) throw Unavailable(::dlerror(), kInstallLibrary);
  return loaded;
}

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

template <typename Function>
void require(void* library, const std::string& path, const char* name, Function& function) {
  if (!find(library, name, function)) throw Unavailable(fmt::format("{} has no {}", path, name), kInstallLibrary);
}

Calls resolve(void* library, const std::string& path) {
  Calls calls;
  require(library, path, "cuFileDriverOpen", calls.driver_open);
  if (!find(library, "cuFileDriverClose_v2", calls.driver_close)) require(library, path, "cuFileDriverClose", calls.driver_close);
  require(library, path, "cuFileDriverGetProperties", calls.driver_get_properties);
  require(library, path, "cuFileHandleRegister", calls.handle_register);
  require(library, path, "cuFileHandleDeregister", calls.handle_deregister);
  require(library, path, "cuFileBufRegister", calls.buffer_register);
  require(library, path, "cuFileBufDeregister", calls.buffer_deregister);
  require(library, path, "cuFileRead", calls.read);
  require(library, path, "cuFileWrite", calls.write);
  static_cast<void>(find(library, "cuFileGetVersion", calls.get_version));
  static_cast<void>(find(library, "cuFileGetParameterBool", calls.get_parameter_bool));
  return calls;
}

const char* remedy_of(int code) noexcept {
  switch (code) {
    case code::kDriverNotInitialized:
      return "load nvidia-fs (modprobe nvidia-fs), or allow compatibility mode (CUFILE_ALLOW_COMPAT_MODE=true)";
    case code::kDriverVersionMismatch:
      return "install an nvidia-fs of libcufile's release";
    case code::kPermissionDenied:
      return "give this user access to /dev/nvidia-fs*";
    case code::kCudaDriverError:
    case code::kNvfsSetupError:
      return "see cufile.log in the current folder, and whether nvidia-smi works";
    default:
      return kSeeItsLog;
  }
}

std::string with_version(const std::string& library, const Calls& calls) {
  int version = 0;
  if (calls.get_version == nullptr || calls.get_version(&version).code != 0) return library;
  return fmt::format("{} {}.{}", library, version / 1000, version % 1000 / 10);
}

[[noreturn]] void throw_refused(const char* call, const std::string& name, const Status& status) {
  throw Unavailable(fmt::format("{} of {}: {}", call, name, describe(status)), remedy_of(status.code));
}

}  // namespace

Unavailable::Unavailable(const std::string& reason, const std::string& remedy)
    : Error(ErrorKind::usage, fmt::format("cannot use cuFile: {}; {}", reason, remedy)), reason_(reason), remedy_(remedy) {}

std::string library_of(const std::string& given) {
  if (!given.empty()) return given;
  const char* const named = std::getenv("GSNAKE_CUFILE");
  return named != nullptr && *named != '\0' ? named : kCuFileLibrary;
}

// Counted under one lock, so that no driver is opened while an earlier use of it is being closed.
std::shared_ptr<Driver> Driver::open(const std::string& given_library) {
  struct Shared {
    std::unique_ptr<Driver> driver;
    unsigned users = 0;
  };
  static std::mutex mutex;
  static std::map<std::string, Shared> drivers;
  const std::string library = library_of(given_library);
  const std::lock_guard lock(mutex);
  Shared& shared = drivers[library];
  if (shared.users == 0) shared.driver.reset(new Driver(library));
  ++shared.users;
  const auto close = [&shared](Driver*) {
    const std::lock_guard closing(mutex);
    if (--shared.users == 0) shared.driver.reset();
  };
  return {shared.driver.get(), close};
}

Driver::Driver(const std::string& library) {
  require_cuda_driver(library);
  calls_ = resolve(load(library), library);
  name_ = with_version(library, calls_);
  const Status status = calls_.driver_open();
  opened_ = status.code == 0;
  if (!opened_ && status.code != code::kDriverAlreadyOpen) throw_refused("cuFileDriverOpen", name_, status);
  try {
    mode_ = find_mode();
  } catch (...) {
    close();
    throw;
  }
}

Driver::~Driver() { close(); }

void Driver::close() noexcept {
  if (!opened_) return;
  if (const Status status = calls_.driver_close(); status.code != 0) spdlog::warn("cuFileDriverClose: {}", describe(status));
}

Mode Driver::find_mode() const {
  DriverProperties properties;
  if (const Status status = calls_.driver_get_properties(&properties); status.code != 0) {
    throw_refused("cuFileDriverGetProperties", name_, status);
  }
  bool forced = false;
  if (calls_.get_parameter_bool != nullptr && calls_.get_parameter_bool(kForceCompatibilityMode, &forced).code == 0 && forced) {
    return {true, "cuFile is told to", "leave out CUFILE_FORCE_COMPAT_MODE, and force_compat_mode in cufile.json"};
  }
  if (properties.nvfs.major != 0 || properties.nvfs.minor != 0) {
    return {false, fmt::format("nvidia-fs {}.{}", properties.nvfs.major, properties.nvfs.minor), ""};
  }
  if ((properties.nvfs.status >> DriverProperties::kNvmePeerToPeer & 1U) != 0) return {false, "PCI peer-to-peer", ""};
  return {true, "nvidia-fs is not loaded", "modprobe nvidia-fs"};
}

}  // namespace gsnake::io::cufile
