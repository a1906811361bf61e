// NCCL's calls: each group of transfers is one piece of work on its CUDA stream.
#include <nccl.h>
#include <sys/random.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <new>
#include <utility>

#include "fake/control.h"
#include "nccl/wires.h"

using gsnake::fake_nccl::Transfer;
using gsnake::fake_nccl::Wires;

struct ncclComm {
  int rank = 0;
  int count = 0;
  std::shared_ptr<Wires> wires;  // shared with what is on its way
};

namespace {

// What is put on a stream at the end of the group.
struct Work {
  std::shared_ptr<Wires> wires;
  cudaStream_t stream = nullptr;
  std::vector<Transfer> transfers;  // at the addresses that the host knows
};

thread_local int depth = 0;
thread_local std::vector<Work> pending;
std::atomic<long> launched{0};

std::size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8: return 1;
    case ncclFloat16:
    case ncclBfloat16: return 2;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64: return 8;
    default: return 4;
  }
}

void carry_out(void* argument) {
  const std::unique_ptr<Work> work(static_cast<Work*>(argument));
  for (Transfer& transfer : work->transfers) {
    fake_cuda_uses(transfer.place, transfer.bytes);
    transfer.place = static_cast<char*>(fake_cuda_real(transfer.place));
  }
  work->wires->carry_out(std::move(work->transfers));
}

ncclResult_t launch_pending() {
  for (Work& work : std::exchange(pending, {})) {
    ++launched;
    const cudaStream_t stream = work.stream;
    if (fake_cuda_launch(stream, carry_out, new Work(std::move(work))) != cudaSuccess) return ncclUnhandledCudaError;
  }
  return ncclSuccess;
}

void add(ncclComm_t comm, cudaStream_t stream, const Transfer& transfer) {
  for (Work& work : pending) {
    if (work.wires != comm->wires || work.stream != stream) continue;
    work.transfers.push_back(transfer);
    return;
  }
  pending.push_back({comm->wires, stream, {transfer}});
}

Transfer transfer(int peer, bool incoming, const void* place, std::size_t bytes) { return {peer, incoming, static_cast<char*>(const_cast<void*>(place)), bytes}; }

}  // namespace

extern "C" {

// Pieces of work so far.
__attribute__((visibility("default"))) long fake_nccl_launched() { return launched; }

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) { return result == ncclSuccess ? "no error" : "an error of the fake NCCL"; }
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) { return ::getrandom(id->internal, sizeof id->internal, 0) == sizeof id->internal ? ncclSuccess : ncclSystemError; }

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int count, ncclUniqueId id, int rank, ncclConfig_t*) {
  std::string place;
  for (int i = 0; i < 16; ++i) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", static_cast<unsigned char>(id.internal[i]));
    place += digits.data();
  }
  auto wires = std::make_shared<Wires>();
  if (!wires->connect(place, rank, count)) return ncclSystemError;
  *comm = new ncclComm{rank, count, std::move(wires)};
  return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int count, ncclUniqueId id, int rank) { return ncclCommInitRankConfig(comm, count, id, rank, nullptr); }
ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->wires->stop();
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = comm->wires->broken() ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}
ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  *count = comm->count;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  *rank = comm->rank;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() { return --depth > 0 ? ncclSuccess : launch_pending(); }

ncclResult_t ncclSend(const void* place, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  ncclGroupStart();
  add(comm, stream, transfer(peer, false, place, count * size_of(type)));
  return ncclGroupEnd();
}
ncclResult_t ncclRecv(void* place, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  ncclGroupStart();
  add(comm, stream, transfer(peer, true, place, count * size_of(type)));
  return ncclGroupEnd();
}
ncclResult_t ncclAllGather(const void* source, void* destination, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * size_of(type);
  ncclGroupStart();
  for (int peer = 0; peer < comm->count; ++peer) {
    add(comm, stream, transfer(peer, false, source, bytes));
    add(comm, stream, transfer(peer, true, static_cast<char*>(destination) + static_cast<std::size_t>(peer) * bytes, bytes));
  }
  return ncclGroupEnd();
}

}  // extern "C"
