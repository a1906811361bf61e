#include "host/fiber.h"

#include <cstdint>
#include <cstring>

#ifdef GSNAKE_SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace gsnake::simt {
namespace {

thread_local Context* entered = nullptr;  // the context that is about to begin

}  // namespace

#if defined(__x86_64__)

// ucontext's switch makes a system call for the signal mask, which a kernel of many barriers feels. Saves what a call must preserve.
extern "C" void gsnake_simt_switch(void** from_stack_pointer, void* to_stack_pointer);
asm(R"(
  .text
  .type gsnake_simt_switch, @function
gsnake_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size gsnake_simt_switch, .-gsnake_simt_switch
)");

namespace {

void* prepare(std::byte* stack, std::size_t bytes, void (*start)()) {
  // As a call would leave it: the address to return to (none) at a multiple of 16 less 8, below it where to go, and six registers.
  auto* top = reinterpret_cast<std::uintptr_t*>(stack + bytes);
  std::memset(top - 8, 0, 8 * sizeof(*top));
  top[-2] = reinterpret_cast<std::uintptr_t>(start);
  return top - 8;
}

void change(void** from, void* to) { gsnake_simt_switch(from, to); }

}  // namespace

#else

namespace {

void* prepare(std::byte* stack, std::size_t bytes, void (*start)()) {
  auto* context = new ucontext_t;
  getcontext(context);
  context->uc_stack = {stack, 0, bytes};
  context->uc_link = nullptr;
  makecontext(context, start, 0);
  return context;
}

void change(void** from, void* to) {
  if (*from == nullptr) *from = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(*from), static_cast<ucontext_t*>(to));
}

}  // namespace

#endif

Context::Context(std::byte* stack, std::size_t bytes, void (*entry)(void*), void* argument)
    : entry_(entry), argument_(argument), stack_pointer_(prepare(stack, bytes, start)), stack_(stack), bytes_(bytes) {
#ifdef GSNAKE_SIMT_TSAN
  tsan_fiber_ = __tsan_create_fiber(0);
  owns_fiber_ = true;
#endif
}

Context::~Context() {
#ifdef GSNAKE_SIMT_TSAN
  if (owns_fiber_) __tsan_destroy_fiber(tsan_fiber_);
#endif
#if !defined(__x86_64__)
  delete static_cast<ucontext_t*>(stack_pointer_);
#endif
}

void Context::start() {
  Context* const self = entered;
  self->entry_(self->argument_);
}

void Context::begin([[maybe_unused]] Context& from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &from.stack_, &from.bytes_);
#endif
}

void Context::switch_to(Context& to) {
  entered = &to;
#ifdef GSNAKE_SIMT_TSAN
  if (tsan_fiber_ == nullptr) tsan_fiber_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.tsan_fiber_, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&asan_frames_, to.stack_, to.bytes_);
#endif
  change(&stack_pointer_, to.stack_pointer_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(asan_frames_, nullptr, nullptr);
#endif
}

}  // namespace gsnake::simt
