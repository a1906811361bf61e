#include "runtime/ranks.h"

#include <exception>
#include <thread>

#include "device/async_device.h"

namespace gsnake::runtime::test {

Ranks::Ranks(int count, bool late) : meeting_(count), talk_(count), rigs_(static_cast<std::size_t>(count)) {
  for (int rank = 0; rank < count; ++rank) {
    if (late) {
      devices_.push_back(std::make_unique<device::AsyncDevice>(device::AsyncOptions{.seed = static_cast<std::uint64_t>(rank + 1)}));
    } else {
      devices_.push_back(device::make_cpu_device());
    }
    collectives_.push_back(meeting_.rank(rank));
    agreements_.push_back(talk_.agreement(rank));
  }
}

Rig& Ranks::make(const Setup& whole, int rank, Collective* collective) {
  const auto i = static_cast<std::size_t>(rank);
  Setup own = whole;
  schedule::share_out(own.problem, rank, count());
  own.pools = schedule::minimum_pools(own.problem);
  if (rank % 2 == 1) {
    for (int& slots : own.pools) slots += 2;
  }
  own.collective = collective == nullptr ? collectives_[i].get() : collective;
  own.agreement = agreements_[i].get();
  rigs_[i] = std::make_unique<Rig>(std::move(own), *devices_[i]);
  return *rigs_[i];
}

void Ranks::leave(int rank) {
  collectives_[static_cast<std::size_t>(rank)]->abort();
  agreements_[static_cast<std::size_t>(rank)]->abort();
}

std::vector<std::string> Ranks::on_each(const std::function<void(int rank)>& work) {
  std::vector<std::string> thrown(devices_.size());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        work(rank);
      } catch (const std::exception& error) {
        thrown[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return thrown;
}

}  // namespace gsnake::runtime::test
