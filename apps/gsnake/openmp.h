// How LibTorch's OpenMP threads wait.
#pragma once

namespace gsnake::command {

// Threads that spin between two parallel regions take the cores from the optimizer and I/O lanes. libgomp reads how to wait when it is
// loaded, before main(): so this starts the program over with OMP_WAIT_POLICY and GOMP_SPINCOUNT set. Returns when they are set, be it by
// the user, and when the program can't be started over (it then runs as it is, slower).
void make_openmp_passive(char** argv);

}  // namespace gsnake::command
