// A machine profile for tests that need one and none of which measures.
#pragma once

namespace gsnake::test {

// Two cores and a slow drive.
inline constexpr const char* kSmallMachine = R"(name = "a small machine"
source = "made up for a test"
[cpu]
name = "small"
cores = 2
dram = "20 GB/s"
memory = "8 GiB"
[compute]
device = "cpu"
memory = "8 GiB"
cores = 2
dram = "2 GB/s"
rates = [{ dtype = "fp32", per_second = 50e9, half_tokens = 32 }, { dtype = "bf16", per_second = 80e9, half_tokens = 32 }]
[h2d]
per_second = "6 GB/s"
cores = 1
dram = 2
[d2h]
per_second = "6 GB/s"
cores = 1
dram = 2
[optimizer]
threads = 1
cores = 1
dram = 1
rates = [{ dtype = "fp32", per_second = "8 GB/s" }, { dtype = "bf16", per_second = "6 GB/s" }, { dtype = "fp16", per_second = "6 GB/s" }]
[ssd]
cores = 0.2
dram = 2
commit_latency = 2e-3
[[ssds]]
drive = "slow"
read = "60 MB/s"
write = "50 MB/s"
both = 1.2
rated_terabytes = 600
)";

}  // namespace gsnake::test
