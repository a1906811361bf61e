// Compiled without ThreadSanitizer's instrumentation, for the scheduler is not what is checked (GSNAKE_SIMT_TSAN says that the program has it). So its containers
// hold types of its own alone: templates that other files instantiate as well would be theirs, instrumented.
#include "host/simt.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "host/fiber.h"

#ifdef GSNAKE_SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace gsnake::simt {
namespace {

constexpr int kWarp = 32;
constexpr std::size_t kStackBytes = 128 << 10;
constexpr std::size_t kSharedBytes = 48 << 10;  // what a block has on every GPU
constexpr std::size_t kSyncBytes = 64;          // ThreadSanitizer takes addresses within 8 bytes for one
#ifdef GSNAKE_SIMT_TSAN
constexpr bool kFiberPerThread = true;
#else
constexpr bool kFiberPerThread = false;
#endif

std::atomic<Submit> submit_hook{nullptr};
std::atomic<Translate> translate_hook{nullptr};
std::atomic<std::uint64_t> order_seed{1};
std::atomic<unsigned> most_blocks{0};

[[noreturn]] void misuse(const char* what, const char* place) {
  std::fprintf(stderr, "simt: %s, at %s\n", what, place);
  std::abort();
}

void release([[maybe_unused]] void* address) {
#ifdef GSNAKE_SIMT_TSAN
  __tsan_release(address);
#endif
}

void acquire([[maybe_unused]] void* address) {
#ifdef GSNAKE_SIMT_TSAN
  __tsan_acquire(address);
#endif
}

// Memory that ThreadSanitizer forgets about with the object, so that the next block's use of it is no race with this one's.
class Pages {
 public:
  Pages() = default;
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) throw std::bad_alloc();
    address_ = static_cast<std::byte*>(address);
  }
  Pages(Pages&& other) noexcept : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages() {
    if (address_ != nullptr) munmap(address_, bytes_);
  }
  [[nodiscard]] std::byte* data() const { return address_; }
  [[nodiscard]] std::size_t size() const { return bytes_; }

 private:
  std::byte* address_ = nullptr;
  std::size_t bytes_ = 0;
};

enum class State : std::uint8_t { fresh, ready, at_barrier, at_exchange, done };

struct Thread {
  uint3 index{};
  State state = State::fresh;
  Context* context = nullptr;
  const char* place = nullptr;  // where it waits
  std::uint64_t bits[2]{};      // of its last two exchanges: who is ahead of the others is so by one at most
  unsigned exchanges = 0;
};

// A stack and what runs on it.
struct Fiber {
  Pages stack{kStackBytes};
  std::unique_ptr<Context> context;
};
struct IdleContext {
  Context* context;
};

// A number among others whose order is drawn.
struct Ordinal {
  std::size_t value;
};
using Order = std::vector<Ordinal>;

Order ascending(std::size_t count) {
  Order order(count);
  for (std::size_t i = 0; i < count; ++i) order[i].value = i;
  return order;
}

// splitmix64.
struct Random {
  std::uint64_t state = 0;
  std::uint64_t next() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  void shuffle(Order& order) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next() % i]);
  }
};

struct SharedArray {
  const void* tag;
  std::size_t offset;
};

// Runs the blocks of a launch one after another on the thread that it belongs to.
class Machine {
 public:
  void run(const Shape& shape, void (*body)(void*), void* argument);

  Thread& now() { return threads_[now_]; }
  [[nodiscard]] int lane() const { return static_cast<int>(now_ % kWarp); }
  [[nodiscard]] const Thread& warp_lane(int lane) const { return threads_[now_ / kWarp * kWarp + static_cast<std::size_t>(lane)]; }
  void wait(State state, const char* place);
  void barrier(const char* place);
  void* shared(const void* tag, std::size_t bytes);

  const Shape* shape = nullptr;
  uint3 block{};

 private:
  // Where a block's shared arrays lie; before them is what its barriers synchronize on, by turns, so that no other block does.
  static constexpr std::size_t kSharedBegin = 2 * kSyncBytes;
  static constexpr std::size_t kMostArrays = 16;

  static void work(void* machine);
  void run_block();
  void begin_block();
  void resume(Thread& thread);
  bool take_fresh(Context& context);
  Context& idle_context();
  // One warp moves only when no other can, drawn anew at each barrier: so the others run ahead of it as far as barriers let them.
  void hold_a_warp() {
    held_warp_ = random_.next() % (threads_.size() / kWarp);
    holds_ = true;
  }
  [[nodiscard]] bool held(std::size_t thread) const { return holds_ && thread / kWarp == held_warp_; }
  bool release_warps();
  void release_barrier();

  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  Random random_;
  std::vector<Thread> threads_;
  Order order_;                     // of the threads in this round
  std::size_t position_ = 0;        // in it
  std::size_t now_ = 0;             // index of the thread that runs
  std::size_t alive_ = 0;
  std::size_t held_warp_ = 0;
  bool holds_ = false;
  unsigned phase_ = 0;  // barriers passed
  Context main_;
  std::vector<Fiber> fibers_;
  // Under ThreadSanitizer two pools take turns: what a pool's fibers have told one another at barriers, the next block's must not know.
  std::vector<IdleContext> idle_[2];
  int pool_ = 0;
  std::vector<IdleContext> finished_;  // under ThreadSanitizer: idle from the next block on, as each thread of a block needs its own
  Pages shared_;
  std::size_t shared_used_ = kSharedBegin;  // by this block; what lies beyond is 0xff
  std::vector<SharedArray> arrays_;
  alignas(kSyncBytes) char start_ = 0;
  alignas(kSyncBytes) char end_ = 0;
};

thread_local Machine running;  // on this thread

void Machine::run(const Shape& launched, void (*body)(void*), void* argument) {
  if (shape != nullptr) misuse("a launch inside a kernel", "launch");
  shape = &launched;
  body_ = body;
  argument_ = argument;
  random_.state = order_seed.load(std::memory_order_relaxed);
  const std::size_t blocks = std::size_t{launched.grid.x} * launched.grid.y * launched.grid.z;
  const std::size_t threads = std::size_t{launched.block.x} * launched.block.y * launched.block.z;
  if (threads % kWarp != 0 || threads > 1024) misuse("a block that is not of whole warps, or of more than 1024 threads", "launch");
  threads_.resize(threads);
  order_ = ascending(threads);
  Order block_order = ascending(blocks);
  random_.shuffle(block_order);
  for (const auto [b] : block_order) {
    block = {static_cast<unsigned>(b % launched.grid.x), static_cast<unsigned>(b / launched.grid.x % launched.grid.y),
             static_cast<unsigned>(b / launched.grid.x / launched.grid.y)};
    run_block();
  }
  acquire(&end_);
  shape = nullptr;
}

void Machine::begin_block() {
  const std::size_t shared_bytes = kSharedBegin + kSharedBytes + shape->shared_bytes;
  if (shared_.size() < shared_bytes) {
    shared_ = Pages(shared_bytes);
    shared_used_ = shared_bytes;
  }
  std::memset(shared_.data() + kSharedBegin, 0xff, shared_used_ - kSharedBegin);  // here, before the block's threads exist: for them it is no write of theirs
  shared_used_ = kSharedBegin;
  arrays_.clear();
  arrays_.reserve(kMostArrays);
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    const auto t = static_cast<unsigned>(i);
    threads_[i] = Thread{};
    threads_[i].index = {t % shape->block.x, t / shape->block.x % shape->block.y, t / shape->block.x / shape->block.y};
  }
  alive_ = threads_.size();
  for (const IdleContext finished : finished_) idle_[pool_].push_back(finished);
  finished_.clear();
  if (kFiberPerThread) pool_ = 1 - pool_;
  release(&start_);
}

void Machine::run_block() {
  begin_block();
  hold_a_warp();
  while (alive_ > 0) {
    random_.shuffle(order_);
    bool moved = false;
    for (position_ = 0; position_ < order_.size(); ++position_) {
      now_ = order_[position_].value;
      if (held(now_) || (now().state != State::fresh && now().state != State::ready)) continue;
      moved = true;
      resume(now());
    }
    if (release_warps() || moved) continue;
    if (holds_) {
      holds_ = false;
      continue;
    }
    release_barrier();
    hold_a_warp();
  }
  if (kFiberPerThread) shared_ = Pages();
}

Context& Machine::idle_context() {
  std::vector<IdleContext>& idle = idle_[pool_];
  if (idle.empty()) {
    Fiber& fiber = fibers_.emplace_back();
    fiber.context = std::make_unique<Context>(fiber.stack.data(), kStackBytes, work, this);
    return *fiber.context;
  }
  Context& context = *idle.back().context;
  idle.pop_back();
  return context;
}

void Machine::resume(Thread& thread) {
  if (thread.state == State::fresh) thread.context = &idle_context();
  main_.switch_to(*thread.context);
  // Here, not where it finished: what runs on a fiber must not allocate, or ThreadSanitizer takes the next one to do so for a racer.
  if (now().state == State::done) (kFiberPerThread ? finished_ : idle_[pool_]).push_back({now().context});
}

// Runs one thread after another, as long as none waits: then its stack waits with it, and the others go on on another.
void Machine::work(void* argument) {
  auto& machine = *static_cast<Machine*>(argument);
  Context& self = *machine.now().context;
  self.begin(machine.main_);
  for (;;) {
    acquire(&machine.start_);
    machine.body_(machine.argument_);
    release(&machine.end_);
    machine.now().state = State::done;
    --machine.alive_;
    if (machine.take_fresh(self)) continue;
    self.switch_to(machine.main_);
  }
}

// The next thread of this round, if it has not begun; under ThreadSanitizer each thread needs a fiber of its own.
bool Machine::take_fresh(Context& context) {
  if (kFiberPerThread || position_ + 1 == order_.size()) return false;
  const std::size_t next = order_[position_ + 1].value;
  if (held(next) || threads_[next].state != State::fresh) return false;
  ++position_;
  now_ = next;
  now().context = &context;
  return true;
}

void Machine::wait(State state, const char* place) {
  Thread& thread = now();
  thread.state = state;
  thread.place = place;
  thread.context->switch_to(main_);
}

void Machine::barrier(const char* place) {
  void* const meeting = shared_.data() + kSyncBytes * (phase_ & 1U);
  release(meeting);
  wait(State::at_barrier, place);
  acquire(meeting);
}

// Warps all of whose lanes wait at the same exchange go on.
bool Machine::release_warps() {
  bool any = false;
  for (auto warp = threads_.begin(); warp != threads_.end(); warp += kWarp) {
    bool all = true;
    for (auto lane = warp; lane != warp + kWarp; ++lane) all = all && lane->state == State::at_exchange;
    if (!all) continue;
    for (auto lane = warp; lane != warp + kWarp; ++lane) {
      if (lane->place != warp->place) misuse("the lanes of a warp wait at different shuffles", lane->place);
      lane->state = State::ready;
    }
    any = true;
  }
  return any;
}

void Machine::release_barrier() {
  const char* place = nullptr;
  for (const Thread& thread : threads_) {
    if (thread.state == State::at_exchange) misuse("a shuffle that a part of the warp does not reach", thread.place);
    if (thread.state == State::at_barrier) place = thread.place;
  }
  for (Thread& thread : threads_) {
    if (thread.state != State::at_barrier || thread.place != place) misuse("a __syncthreads() that a part of the block does not reach", place);
    thread.state = State::ready;
  }
  ++phase_;
}

void* Machine::shared(const void* tag, std::size_t bytes) {
  for (const SharedArray& array : arrays_) {
    if (array.tag == tag) return shared_.data() + array.offset;
  }
  const std::size_t offset = shared_used_;
  shared_used_ += (bytes + 15) / 16 * 16;
  if (shared_used_ > shared_.size() || arrays_.size() == kMostArrays) misuse("more shared memory than a block has", "__shared__");
  arrays_.push_back({tag, offset});
  return shared_.data() + offset;
}

constexpr char kDynamic = 0;  // its address is the tag of a launch's dynamic shared memory

}  // namespace

void set_submit(Submit submit, Translate translate) {
  submit_hook = submit;
  translate_hook = translate;
}
void set_seed(std::uint64_t seed) { order_seed = seed; }
void set_max_blocks(unsigned blocks) { most_blocks = blocks; }
unsigned max_blocks() { return most_blocks; }

Submit detail::submit() { return submit_hook; }
const void* detail::translated(const void* pointer) {
  const Translate translate = translate_hook;
  return translate == nullptr ? pointer : translate(pointer);
}

void run_grid(const Shape& shape, void (*body)(void*), void* argument) { running.run(shape, body, argument); }

const uint3& thread_index() { return running.now().index; }
const uint3& block_index() { return running.block; }
const dim3& block_shape() { return running.shape->block; }
const dim3& grid_shape() { return running.shape->grid; }
int lane() { return running.lane(); }
void barrier(const char* place) { running.barrier(place); }
void* shared_memory(const void* tag, std::size_t bytes) { return running.shared(tag, bytes); }
void* dynamic_shared_memory() { return running.shared(&kDynamic, running.shape->shared_bytes); }

std::uint64_t exchange(std::uint64_t bits, int from_lane, const char* place) {
  Thread& thread = running.now();
  const unsigned slot = thread.exchanges++ & 1U;
  thread.bits[slot] = bits;
  running.wait(State::at_exchange, place);
  return from_lane < 0 || from_lane >= kWarp ? bits : running.warp_lane(from_lane).bits[slot];
}

}  // namespace gsnake::simt
