// What is used of NVIDIA's cuFile (GPUDirect Storage), declared here so that nothing of CUDA is needed to build: tests/io compares it with
// cufile.h where a toolkit has that.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <system_error>

namespace gsnake::io::cufile {

// As cuFile's calls of the same names take and return them. CUfileError_t:
struct Status {
  int code = 0;  // 0 or a CUfileOpError, 5001 and up
  int cuda = 0;  // the CUDA driver's error, where the code is cuda_driver_error
};

// The CUfileOpError values that are told apart; messages name all of them.
namespace code {
inline constexpr int kFirst = 5001;
inline constexpr int kDriverNotInitialized = 5001;
inline constexpr int kDriverVersionMismatch = 5004;
inline constexpr int kPlatformNotSupported = 5007;
inline constexpr int kIoNotSupported = 5008;
inline constexpr int kCudaDriverError = 5011;
inline constexpr int kInvalidMappingRange = 5017;
inline constexpr int kInvalidFileOpenFlag = 5019;
inline constexpr int kDirectIoNotSet = 5020;
inline constexpr int kMemoryAlreadyRegistered = 5023;
inline constexpr int kPermissionDenied = 5025;
inline constexpr int kDriverAlreadyOpen = 5026;
inline constexpr int kNvfsSetupError = 5033;
inline constexpr int kIoDisabled = 5034;
inline constexpr int kNoMemory = 5043;
}  // namespace code

// CUfileDescr_t of a file descriptor.
struct Descriptor {
  static constexpr int kOpaqueFd = 1;

  int type = kOpaqueFd;
  union {
    int fd;
    void* handle;
  } file{.handle = nullptr};
  const void* operations = nullptr;
};

// CUfileDrvProps_t.
struct DriverProperties {
  static constexpr unsigned kNvmePeerToPeer = 11;  // a bit of nvfs.status

  struct {
    unsigned major = 0;  // of nvidia-fs; 0.0 where it is not loaded
    unsigned minor = 0;
    std::size_t poll_threshold = 0;
    std::size_t max_direct_io = 0;
    unsigned status = 0;
    unsigned control = 0;
  } nvfs;
  unsigned features = 0;
  unsigned max_device_cache = 0;
  unsigned per_buffer_cache = 0;
  unsigned max_pinned = 0;
  unsigned max_batch_io = 0;
  unsigned max_batch_timeout_ms = 0;
};

inline constexpr int kForceCompatibilityMode = 2;  // of CUFileBoolConfigParameter_t

// The library's functions. Those of the last group are absent from older ones, and null then.
struct Calls {
  Status (*driver_open)() = nullptr;
  Status (*driver_close)() = nullptr;
  Status (*driver_get_properties)(DriverProperties*) = nullptr;
  Status (*handle_register)(void** handle, Descriptor*) = nullptr;
  void (*handle_deregister)(void* handle) = nullptr;
  Status (*buffer_register)(const void* base, std::size_t size, int flags) = nullptr;
  Status (*buffer_deregister)(const void* base) = nullptr;
  // Bytes; -1 and errno; or a CUfileOpError, negated.
  ssize_t (*read)(void* handle, void* base, std::size_t size, off_t file_offset, off_t base_offset) = nullptr;
  ssize_t (*write)(void* handle, const void* base, std::size_t size, off_t file_offset, off_t base_offset) = nullptr;

  Status (*get_version)(int* version) = nullptr;  // 1000 x major + 10 x minor
  Status (*get_parameter_bool)(int parameter, bool* value) = nullptr;
};

// "CU_FILE_IO_NOT_SUPPORTED"; empty for a code that cuFile does not have.
[[nodiscard]] const char* name_of(int code) noexcept;

// A CUfileOpError as an error: "cuFile error 5008 (CU_FILE_IO_NOT_SUPPORTED): ...". What cuFile wants to be asked again for equals
// std::errc::resource_unavailable_try_again.
[[nodiscard]] std::error_code make_error_code(int code) noexcept;
// Whether an error is one of cuFile's own.
[[nodiscard]] bool is_cufile(std::error_code error) noexcept;

// Where cuFile's own errors are explained.
inline constexpr const char* kSeeItsLog = "see cufile.log in the current folder, or set ssd.engine = \"io_uring\"";

// The same with the CUDA driver's number where there is one.
[[nodiscard]] std::string describe(const Status& status);

}  // namespace gsnake::io::cufile
