// Our declarations of cuFile's interface beside NVIDIA's own, where a toolkit or a wheel has that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "io/cufile.h"
#include "io/cufile_calls.h"
#include "io/test_support.h"

#if __has_include(<cufile.h>)
#include <cuda.h>
#include <cufile.h>

#include <type_traits>
#endif

namespace gsnake::io {
namespace {

#if __has_include(<cufile.h>)

// Enums and pointers to types that we don't name stand for ints and void*; sizes and places are compared below.
static_assert(sizeof(cufile::Status) == sizeof(CUfileError_t));
static_assert(offsetof(cufile::Status, code) == offsetof(CUfileError_t, err));
static_assert(offsetof(cufile::Status, cuda) == offsetof(CUfileError_t, cu_err));
static_assert(sizeof(cufile::Descriptor) == sizeof(CUfileDescr_t));
static_assert(offsetof(cufile::Descriptor, type) == offsetof(CUfileDescr_t, type));
static_assert(offsetof(cufile::Descriptor, file) == offsetof(CUfileDescr_t, handle));
static_assert(offsetof(cufile::Descriptor, operations) == offsetof(CUfileDescr_t, fs_ops));
static_assert(cufile::Descriptor::kOpaqueFd == CU_FILE_HANDLE_TYPE_OPAQUE_FD);
static_assert(sizeof(cufile::DriverProperties) == sizeof(CUfileDrvProps_t));
static_assert(offsetof(cufile::DriverProperties, nvfs.major) == offsetof(CUfileDrvProps_t, nvfs.major_version));
static_assert(offsetof(cufile::DriverProperties, nvfs.minor) == offsetof(CUfileDrvProps_t, nvfs.minor_version));
static_assert(offsetof(cufile::DriverProperties, nvfs.status) == offsetof(CUfileDrvProps_t, nvfs.dstatusflags));
static_assert(offsetof(cufile::DriverProperties, features) == offsetof(CUfileDrvProps_t, fflags));
static_assert(offsetof(cufile::DriverProperties, max_batch_timeout_ms) == offsetof(CUfileDrvProps_t, max_batch_io_timeout_msecs));
static_assert(cufile::DriverProperties::kNvmePeerToPeer == CU_FILE_NVME_P2P_SUPPORTED);
static_assert(cufile::kForceCompatibilityMode == CUFILE_PARAM_FORCE_COMPAT_MODE);
static_assert(std::is_same_v<decltype(cufile::Calls::read), decltype(&cuFileRead)>);
static_assert(std::is_same_v<decltype(cufile::Calls::write), decltype(&cuFileWrite)>);
static_assert(std::is_same_v<decltype(cufile::Calls::handle_deregister), decltype(&cuFileHandleDeregister)>);

TEST(CuFileHeader, EveryErrorHasItsNumberAndItsName) {
#define CUFILE_OP(code, name, text) {code, #name},
  const std::vector<std::pair<int, std::string>> entries{CUFILEOP_STATUS_ENTRIES};
#undef CUFILE_OP
  for (const auto& [code, name] : entries) EXPECT_EQ(cufile::name_of(code), code == 0 ? "" : name) << code;
  EXPECT_STREQ(cufile::name_of(CUFILEOP_BASE_ERR + 51), "") << "a newer cuFile: add its errors to cufile_errors.cpp";
}

#else

TEST(CuFileHeader, EveryErrorHasItsNumberAndItsName) { GTEST_SKIP() << "no cufile.h here: CUDA toolkit, or tests/parity's wheels"; }

#endif

// As far as that goes without a GPU: it loads, tells its version, and says why its driver does not open.
TEST(CuFileHeader, NvidiasLibraryHasEveryFunctionThatIsUsed) {
#ifdef NVIDIA_CUFILE
  const testing::TemporaryDirectory directory;
  ASSERT_EQ(::setenv("CUFILE_LOGFILE_PATH", directory.file("cufile.log").c_str(), 1), 0);
  const CuFileStatus status = cufile_status({.library = NVIDIA_CUFILE});
  if (!status.available) {
    EXPECT_THAT(status.reason, ::testing::StartsWith(std::string("cuFileDriverOpen of ") + NVIDIA_CUFILE + " 1."));
  }
#else
  GTEST_SKIP() << "no libcufile here, or a sanitizer that it is not built for";
#endif
}

TEST(CuFileErrors, SayTheirNumberTheirNameAndWhatTheyMean) {
  EXPECT_EQ(cufile::make_error_code(5008).message(),
            "cuFile error 5008 (CU_FILE_IO_NOT_SUPPORTED): GPUDirect Storage does not support this file");
  EXPECT_EQ(cufile::make_error_code(5999).message(), "cuFile error 5999");
  EXPECT_EQ(cufile::make_error_code(5044), std::errc::io_error);
  EXPECT_EQ(cufile::make_error_code(cufile::code::kNoMemory), std::errc::resource_unavailable_try_again);
  EXPECT_EQ(cufile::describe({5011, 201}),
            "cuFile error 5011 (CU_FILE_CUDA_DRIVER_ERROR): the CUDA driver reported an error (CUresult 201)");
}

}  // namespace
}  // namespace gsnake::io
