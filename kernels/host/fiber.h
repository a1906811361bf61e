// A stack to run on beside the thread's own, and the change from one to another, with what the sanitizers must be told. Private to simt.
#pragma once

#include <cstddef>

namespace gsnake::simt {

// Where execution stands while something else has the CPU. Made without arguments: the caller's own stack, once it switches away.
class Context {
 public:
  Context() = default;
  // Begins with entry(argument), which never returns, on `stack` (`bytes` long, borrowed, aligned to 16) when somebody switches to it.
  Context(std::byte* stack, std::size_t bytes, void (*entry)(void*), void* argument);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  // What entry() does first; `from`: who switched to it.
  void begin(Context& from);
  // Goes on with `to`, and returns when somebody switches back.
  void switch_to(Context& to);

 private:
  static void start();

  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  void* stack_pointer_ = nullptr;
  void* tsan_fiber_ = nullptr;
  bool owns_fiber_ = false;
  const void* stack_ = nullptr;
  std::size_t bytes_ = 0;
  void* asan_frames_ = nullptr;
};

}  // namespace gsnake::simt
