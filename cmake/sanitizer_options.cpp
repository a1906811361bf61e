// What the sanitizers' run-time libraries ask a program for when it starts. Linked into every program of a sanitizer build.

extern "C" {

const char* __asan_default_options() { return "detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1"; }

const char* __ubsan_default_options() { return "print_stacktrace=1"; }

const char* __tsan_default_options() { return "halt_on_error=1:second_deadlock_stack=1"; }

// What LibTorch does among its own threads, which it is not instrumented for: counts of references, and autograd's threads.
const char* __tsan_default_suppressions() { return "race:torch::autograd::GraphTask\nrace:torch::autograd::Engine::stop\nrace:c10::ivalue::Future\n"; }

// LibTorch keeps its registries and thread pools until the process ends.
const char* __lsan_default_suppressions() { return "leak:libtorch_cpu.so\nleak:libc10.so\nleak:libgomp.so\n"; }
}
