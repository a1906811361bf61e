// Three short kernels list the tokens of each id; which comes first in a list depends on the run, so the last kernel, which adds, puts each list in
// order: a short one by ranks, a long one by reading all ids again.
#include "embedding_gradient.h"

#include "numbers.h"

namespace gsnake::kernels {
namespace {

constexpr int kList = 1024;  // tokens that a block has in order at once
constexpr int kGroup = 4;    // columns of a thread
constexpr int kColumns = kBlock * kGroup;

// The workspace, by its parts.
struct Lists {
  unsigned* count;   // [vocab] tokens of an id; then counted down as they are listed
  unsigned* length;  // [vocab] tokens of an id
  unsigned* begin;   // [vocab] where its list begins
  unsigned* used;    // [tokens] ids that have tokens, in any order
  unsigned* tokens;  // [tokens] the lists
  unsigned* totals;  // [2] ids in `used`; tokens in all lists
};

Lists lists_in(void* workspace, const EmbeddingShape& shape) {
  auto* const words = static_cast<unsigned*>(workspace);
  return {words, words + shape.vocab, words + 2 * shape.vocab, words + 3 * shape.vocab, words + 3 * shape.vocab + shape.tokens, words + 3 * shape.vocab + 2 * shape.tokens};
}

__device__ inline bool in_table(std::int64_t id, std::int64_t vocab) { return id >= 0 && id < vocab; }

__global__ void __launch_bounds__(kBlock) clear_kernel(unsigned* count, std::int64_t vocab, unsigned* totals) {
  for (std::int64_t i = grid_thread(); i < vocab; i += grid_threads()) count[i] = 0;
  if (grid_thread() < 2) totals[grid_thread()] = 0;
}

__global__ void __launch_bounds__(kBlock) count_kernel(const std::int64_t* ids, std::int64_t tokens, std::int64_t vocab, unsigned* count) {
  for (std::int64_t t = grid_thread(); t < tokens; t += grid_threads()) {
    if (in_table(ids[t], vocab)) atomicAdd(count + ids[t], 1U);
  }
}

// Each id that has tokens takes a place among the used ones, and its list one among the lists.
__global__ void __launch_bounds__(kBlock)
    place_kernel(const unsigned* count, std::int64_t vocab, unsigned* length, unsigned* begin, unsigned* used, unsigned* totals) {
  for (std::int64_t id = grid_thread(); id < vocab; id += grid_threads()) {
    const unsigned tokens = count[id];
    if (tokens == 0) continue;
    length[id] = tokens;
    begin[id] = atomicAdd(totals + 1, tokens);
    used[atomicAdd(totals, 1U)] = static_cast<unsigned>(id);
  }
}

__global__ void __launch_bounds__(kBlock)
    list_kernel(const std::int64_t* ids, std::int64_t tokens, std::int64_t vocab, unsigned* count, const unsigned* begin, unsigned* lists) {
  for (std::int64_t t = grid_thread(); t < tokens; t += grid_threads()) {
    const std::int64_t id = ids[t];
    if (in_table(id, vocab)) lists[begin[id] + atomicAdd(count + id, ~0U) - 1U] = static_cast<unsigned>(t);
  }
}

// A list of at most kList tokens, ascending: a token's place is how many are smaller. The whole block takes part, here and in find_tokens(): their first
// barrier comes before they write `sorted`, so that nobody still reads the tokens that stood there before.
__device__ inline void sort_list(const unsigned* list, unsigned length, unsigned* raw, unsigned* sorted) {
  for (unsigned i = threadIdx.x; i < length; i += kBlock) raw[i] = list[i];
  __syncthreads();
  for (unsigned i = threadIdx.x; i < length; i += kBlock) {
    unsigned smaller = 0;
    for (unsigned j = 0; j < length; ++j) smaller += raw[j] < raw[i] ? 1U : 0U;
    sorted[smaller] = raw[i];
  }
  __syncthreads();
}

// The tokens of `id` among [first, first + kList), ascending; returns how many. The whole block takes part.
__device__ inline unsigned find_tokens(const std::int64_t* ids, std::int64_t first, std::int64_t tokens, std::int64_t id, unsigned* counts, unsigned* sorted) {
  constexpr int kEach = kList / kBlock;  // neighbours that a thread looks at
  const std::int64_t begin = first + static_cast<std::int64_t>(threadIdx.x) * kEach;
  unsigned mine = 0;
  for (std::int64_t t = begin; t < begin + kEach && t < tokens; ++t) mine += ids[t] == id ? 1U : 0U;
  counts[threadIdx.x] = mine;
  __syncthreads();
  for (int distance = 1; distance < kBlock; distance *= 2) {  // the sums of all counts up to a thread's own
    const unsigned before = static_cast<int>(threadIdx.x) >= distance ? counts[threadIdx.x - distance] : 0U;
    __syncthreads();
    counts[threadIdx.x] += before;
    __syncthreads();
  }
  unsigned place = counts[threadIdx.x] - mine;
  for (std::int64_t t = begin; t < begin + kEach && t < tokens; ++t) {
    if (ids[t] == id) sorted[place++] = static_cast<unsigned>(t);
  }
  const unsigned found = counts[kBlock - 1];
  __syncthreads();
  return found;
}

// A thread's columns of one row of the table, in registers while its tokens are added.
template <class T>
struct Columns {
  const T* grad_output;
  std::int64_t hidden;
  std::int64_t begin;
  bool whole;
  float sum[kGroup];

  __device__ void add(const unsigned* sorted, unsigned length) {
#pragma unroll 4
    for (unsigned i = 0; i < length; ++i) {
      float values[kGroup];
      load(grad_output + sorted[i] * hidden, begin, hidden, whole, values);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) sum[k] = __fadd_rn(sum[k], values[k]);
    }
  }
};

// Blocks (x, y): the used ids x, x + gridDim.x, ..., of each the columns [y * kColumns, (y + 1) * kColumns).
template <class T>
__global__ void __launch_bounds__(kBlock)
    add_kernel(const std::int64_t* ids, const T* grad_output, std::int64_t tokens, std::int64_t hidden, const unsigned* length, const unsigned* begin,
               const unsigned* used, const unsigned* lists, const unsigned* totals, float* grad_weight, bool whole) {
  GSNAKE_SHARED(unsigned, raw, kList);
  GSNAKE_SHARED(unsigned, sorted, kList);
  for (unsigned u = blockIdx.x; u < totals[0]; u += gridDim.x) {
    const unsigned id = used[u];
    Columns<T> columns{grad_output, hidden, static_cast<std::int64_t>(blockIdx.y) * kColumns + threadIdx.x * kGroup, whole, {}};
    float* const row = grad_weight + id * hidden;
    load(row, columns.begin, hidden, whole, columns.sum);
    if (length[id] <= kList) {
      sort_list(lists + begin[id], length[id], raw, sorted);
      columns.add(sorted, length[id]);
    } else {
      for (std::int64_t first = 0; first < tokens; first += kList) {
        const unsigned found = find_tokens(ids, first, tokens, id, raw, sorted);
        columns.add(sorted, found);
      }
    }
    store(row, columns.begin, hidden, whole, columns.sum);
  }
}

}  // namespace

std::size_t embedding_workspace_bytes(const EmbeddingShape& shape) {
  return static_cast<std::size_t>(3 * shape.vocab + 2 * shape.tokens + 4) * sizeof(unsigned);
}

cudaError_t embedding_gradient(const EmbeddingShape& shape, const std::int64_t* ids, const void* grad_output, float* grad_weight, void* workspace,
                               cudaStream_t stream) {
  constexpr std::int64_t kMost = 0x7fffffff;
  if (shape.tokens > kMost || shape.vocab > kMost || shape.hidden > kMost) return cudaErrorInvalidValue;
  if (shape.tokens == 0 || shape.vocab == 0 || shape.hidden == 0) return cudaSuccess;
  const Lists lists = lists_in(workspace, shape);
  const LaunchShape over_vocab{dim3(blocks_for(shape.vocab))};
  const LaunchShape over_tokens{dim3(blocks_for(shape.tokens))};
  cudaError_t error = launch(stream, over_vocab, clear_kernel, lists.count, shape.vocab, lists.totals);
  if (error == cudaSuccess) error = launch(stream, over_tokens, count_kernel, ids, shape.tokens, shape.vocab, lists.count);
  if (error == cudaSuccess) error = launch(stream, over_vocab, place_kernel, lists.count, shape.vocab, lists.length, lists.begin, lists.used, lists.totals);
  if (error == cudaSuccess) error = launch(stream, over_tokens, list_kernel, ids, shape.tokens, shape.vocab, lists.count, lists.begin, lists.tokens);
  if (error != cudaSuccess) return error;
  return with_type(shape.dtype, [&]<class T>(T) {
    const bool whole = aligned(grad_weight) && aligned(grad_output, kGroup * sizeof(T)) && shape.hidden % kGroup == 0;
    const std::int64_t most_ids = std::min(shape.tokens, shape.vocab);
    const LaunchShape launched{dim3(blocks_for(most_ids, 1), static_cast<unsigned>((shape.hidden + kColumns - 1) / kColumns))};
    return launch(stream, launched, add_kernel<T>, ids, static_cast<const T*>(grad_output), shape.tokens, shape.hidden, lists.length, lists.begin, lists.used,
                  lists.tokens, lists.totals, grad_weight, whole);
  });
}

}  // namespace gsnake::kernels
