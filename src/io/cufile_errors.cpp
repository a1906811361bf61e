#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/cufile_calls.h"

namespace gsnake::io::cufile {
namespace {

struct Entry {
  int code;
  const char* name;
  const char* meaning;
};

constexpr std::array kEntries{
    Entry{5001, "CU_FILE_DRIVER_NOT_INITIALIZED", "nvidia-fs is not loaded, and cuFile's compatibility mode is not allowed"},
    Entry{5002, "CU_FILE_DRIVER_INVALID_PROPS", "invalid property"},
    Entry{5003, "CU_FILE_DRIVER_UNSUPPORTED_LIMIT", "a property is out of range"},
    Entry{5004, "CU_FILE_DRIVER_VERSION_MISMATCH", "nvidia-fs has another version than libcufile needs"},
    Entry{5005, "CU_FILE_DRIVER_VERSION_READ_ERROR", "the version of nvidia-fs can't be read"},
    Entry{5006, "CU_FILE_DRIVER_CLOSING", "the driver is being closed"},
    Entry{5007, "CU_FILE_PLATFORM_NOT_SUPPORTED", "GPUDirect Storage does not support this machine"},
    Entry{5008, "CU_FILE_IO_NOT_SUPPORTED", "GPUDirect Storage does not support this file"},
    Entry{5009, "CU_FILE_DEVICE_NOT_SUPPORTED", "GPUDirect Storage does not support this GPU"},
    Entry{5010, "CU_FILE_NVFS_DRIVER_ERROR", "nvidia-fs refused a request"},
    Entry{5011, "CU_FILE_CUDA_DRIVER_ERROR", "the CUDA driver reported an error"},
    Entry{5012, "CU_FILE_CUDA_POINTER_INVALID", "invalid device pointer"},
    Entry{5013, "CU_FILE_CUDA_MEMORY_TYPE_INVALID", "memory of a kind that cuFile does not take"},
    Entry{5014, "CU_FILE_CUDA_POINTER_RANGE_ERROR", "the range is longer than what was allocated"},
    Entry{5015, "CU_FILE_CUDA_CONTEXT_MISMATCH", "the memory belongs to another CUDA context"},
    Entry{5016, "CU_FILE_INVALID_MAPPING_SIZE", "more than may be pinned"},
    Entry{5017, "CU_FILE_INVALID_MAPPING_RANGE", "the range is longer than what was registered"},
    Entry{5018, "CU_FILE_INVALID_FILE_TYPE", "a file of a kind that cuFile does not take"},
    Entry{5019, "CU_FILE_INVALID_FILE_OPEN_FLAG", "the file is opened in a way that cuFile does not take"},
    Entry{5020, "CU_FILE_DIO_NOT_SET", "the file is not opened with O_DIRECT"},
    Entry{5022, "CU_FILE_INVALID_VALUE", "invalid argument"},
    Entry{5023, "CU_FILE_MEMORY_ALREADY_REGISTERED", "the memory is registered already"},
    Entry{5024, "CU_FILE_MEMORY_NOT_REGISTERED", "the memory is not registered"},
    Entry{5025, "CU_FILE_PERMISSION_DENIED", "access to the driver or to the file was denied"},
    Entry{5026, "CU_FILE_DRIVER_ALREADY_OPEN", "the driver is open already"},
    Entry{5027, "CU_FILE_HANDLE_NOT_REGISTERED", "the file is not registered"},
    Entry{5028, "CU_FILE_HANDLE_ALREADY_REGISTERED", "the file is registered already"},
    Entry{5029, "CU_FILE_DEVICE_NOT_FOUND", "no GPU was found"},
    Entry{5030, "CU_FILE_INTERNAL_ERROR", "internal error"},
    Entry{5031, "CU_FILE_GETNEWFD_FAILED", "no new file descriptor could be made"},
    Entry{5033, "CU_FILE_NVFS_SETUP_ERROR", "cuFile or nvidia-fs could not be set up"},
    Entry{5034, "CU_FILE_IO_DISABLED", "cuFile's configuration disables GPUDirect Storage for this file"},
    Entry{5035, "CU_FILE_BATCH_SUBMIT_FAILED", "a batch could not be submitted"},
    Entry{5036, "CU_FILE_GPU_MEMORY_PINNING_FAILED", "GPU memory could not be pinned"},
    Entry{5037, "CU_FILE_BATCH_FULL", "the queue of a batch is full"},
    Entry{5038, "CU_FILE_ASYNC_NOT_SUPPORTED", "no transfers in stream order here"},
    Entry{5039, "CU_FILE_INTERNAL_BATCH_SETUP_ERROR", "internal error in the set-up of a batch"},
    Entry{5040, "CU_FILE_INTERNAL_BATCH_SUBMIT_ERROR", "internal error in the submission of a batch"},
    Entry{5041, "CU_FILE_INTERNAL_BATCH_GETSTATUS_ERROR", "internal error in the state of a batch"},
    Entry{5042, "CU_FILE_INTERNAL_BATCH_CANCEL_ERROR", "internal error in the cancellation of a batch"},
    Entry{5043, "CU_FILE_NOMEM_ERROR", "cuFile has no memory left for now"},
    Entry{5044, "CU_FILE_IO_ERROR", "the transfer failed"},
    Entry{5045, "CU_FILE_INTERNAL_BUF_REGISTER_ERROR", "internal error in the registration of memory"},
    Entry{5046, "CU_FILE_HASH_OPR_ERROR", "internal error in a table"},
    Entry{5047, "CU_FILE_INVALID_CONTEXT_ERROR", "invalid CUDA context"},
    Entry{5048, "CU_FILE_NVFS_INTERNAL_DRIVER_ERROR", "internal error of nvidia-fs"},
    Entry{5049, "CU_FILE_BATCH_NOCOMPAT_ERROR", "the batch needs cuFile's compatibility mode, which is off"},
    Entry{5050, "CU_FILE_IO_MAX_ERROR", "cuFile's last error number"},
};

const Entry* find(int code) noexcept {
  const auto found = std::ranges::find(kEntries, code, &Entry::code);
  return found == kEntries.end() ? nullptr : &*found;
}

class CuFileCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "gsnake.cufile"; }
  [[nodiscard]] std::string message(int value) const override {
    const Entry* entry = find(value);
    if (entry == nullptr) return fmt::format("cuFile error {}", value);
    return fmt::format("cuFile error {} ({}): {}", value, entry->name, entry->meaning);
  }
  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    return value == code::kNoMemory ? std::errc::resource_unavailable_try_again : std::errc::io_error;
  }
};

const CuFileCategory& category() noexcept {
  static const CuFileCategory one;
  return one;
}

}  // namespace

const char* name_of(int code) noexcept {
  const Entry* entry = find(code);
  return entry == nullptr ? "" : entry->name;
}

std::error_code make_error_code(int code) noexcept { return {code, category()}; }

bool is_cufile(std::error_code error) noexcept { return error.category() == category(); }

std::string describe(const Status& status) {
  const std::string text = make_error_code(status.code).message();
  return status.code == code::kCudaDriverError ? fmt::format("{} (CUresult {})", text, status.cuda) : text;
}

}  // namespace gsnake::io::cufile
