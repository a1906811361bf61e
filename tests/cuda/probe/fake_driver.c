// A libcuda.so.1 without a GPU, of the version that FAKE_DRIVER_VERSION says (13000: CUDA 13.0).
#include <stdlib.h>
#include <string.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_NO_DEVICE = 100, CUDA_ERROR_NOT_FOUND = 500 };

int cuDriverGetVersion(int* version) {
  const char* text = getenv("FAKE_DRIVER_VERSION");
  *version = text == NULL ? 0 : atoi(text);
  return CUDA_SUCCESS;
}

int cuInit(unsigned flags) {
  (void)flags;
  return CUDA_ERROR_NO_DEVICE;
}

static int without_device(void) { return CUDA_ERROR_NO_DEVICE; }

int cuGetProcAddress_v2(const char* name, void** function, int version, unsigned long long flags, int* status) {
  (void)version;
  (void)flags;
  if (strcmp(name, "cuDriverGetVersion") == 0) {
    *function = (void*)cuDriverGetVersion;
  } else if (strcmp(name, "cuInit") == 0) {
    *function = (void*)cuInit;
  } else if (strcmp(name, "cuGetProcAddress") == 0) {
    *function = (void*)cuGetProcAddress_v2;
  } else {
    *function = (void*)without_device;
  }
  if (status != NULL) *status = 0;
  return CUDA_SUCCESS;
}
int cuGetProcAddress(const char* name, void** function, int version, unsigned long long flags) { return cuGetProcAddress_v2(name, function, version, flags, NULL); }
