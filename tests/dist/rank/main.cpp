// One rank of a test: dist_rank TIMEOUT WHAT [ARGUMENT]. Says "joined", then does what it was told. An error is its last line, and its status.
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dist/beat.h"
#include "dist/collective_work.h"
#include "dist/environment.h"
#include "dist/gloo.h"
#include "dist/rank_group.h"
#include "dist/record.h"
#include "greedysnake/error.h"
#include "greedysnake/ranks.h"
#include "rank_program.h"

namespace gsnake::dist::test {
namespace {

using gsnake::test::as_rank;
using gsnake::test::say;

[[noreturn]] void wait_for_ever() {
  while (true) ::pause();
}

void share(RankGroup& group) {
  std::vector<double> all(static_cast<std::size_t>(group.count()));
  const std::array<double, 1> own{1.0};
  group.agreement(Channel::control).share(own, all);
}

// On a channel: everybody's words are in their places in every round.
void agree(RankGroup& group, Channel channel, int rounds) {
  constexpr std::size_t kWords = 3;
  const auto count = static_cast<std::size_t>(group.count());
  std::vector<double> all(kWords * count);
  const auto words = [&](int rank, int round) { return std::array<double, kWords>{static_cast<double>(rank), static_cast<double>(round), static_cast<double>(channel)}; };
  for (int round = 0; round < rounds; ++round) {
    group.agreement(channel).share(words(group.rank(), round), all);
    for (std::size_t i = 0; i < count; ++i) {
      const auto expected = words(static_cast<int>(i), round);
      if (std::memcmp(all.data() + kWords * i, expected.data(), sizeof expected) != 0) throw std::runtime_error("others' words are not what they said in round " + std::to_string(round));
    }
  }
}

void agreements(RankGroup& group, int rounds) {
  std::vector<std::thread> threads;
  std::array<std::exception_ptr, kChannels> failures;
  for (int channel = 0; channel < kChannels; ++channel) {
    threads.emplace_back([&, channel] {
      try {
        agree(group, static_cast<Channel>(channel), rounds);
      } catch (...) {
        failures[static_cast<std::size_t>(channel)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

void collectives(RankGroup& group, const std::string& file) {
  group.reserve(largest_part());
  const std::vector<float> results = results_of(group.collective(), group.rank());
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(results.data()), static_cast<std::streamsize>(results.size() * sizeof(float)));
}

void wait_for_failure(RankGroup& group) {
  std::mutex mutex;
  std::condition_variable changed;
  std::exception_ptr failure;
  group.on_failure([&](std::exception_ptr told) {
    const std::lock_guard lock(mutex);
    failure = std::move(told);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return failure != nullptr; });
  std::rethrow_exception(failure);
}

void run_for_ever(RankGroup& group) {
  group.reserve(largest_part());
  while (true) results_of(group.collective(), group.rank());
}

void last_resort(const std::string& message) {
  say("last resort: " + message);
  ::_exit(static_cast<int>(ErrorKind::rank));
}

// Some are early, and find the store of the group before.
void meet_again(const RanksConfig& ranks) {
  for (int round = 0; round < 3; ++round) {
    const auto group = RankGroup::join(ranks);
    share(*group);
  }
}

// As a rank that dies while the others connect to it.
void come_and_go(const RanksConfig& ranks) {
  MeetingPlace place = meeting_place();
  place.prefix += "/0";
  const auto store = open_store(place, false, std::chrono::seconds(30));
  const auto set = [&](const std::string& key, const std::string& value) { store->set(key, std::vector<std::uint8_t>(value.begin(), value.end())); };
  set("job-" + std::to_string(ranks.rank), std::to_string(ranks.count) + " " + place.job);
  store->set(key_of(ranks.rank), written(Record{}));
}

void run(RankGroup& group, const std::string& what, const std::string& argument) {
  const std::map<std::string, std::function<void()>> all{
      {"collectives", [&] { collectives(group, argument); }},
      {"agreements", [&] { agreements(group, std::stoi(argument)); }},
      {"share", [&] { share(group); }},
      {"idle", [&] { wait_for_failure(group); }},
      {"loop", [&] { run_for_ever(group); }},
      {"pause", [] { wait_for_ever(); }},
      {"fail", [&] { group.fail(argument); }},
      {"fail and pause", [&] {
         group.fail(argument);
         wait_for_ever();
       }},
      {"abort", [&] {
         group.collective().abort();
         group.agreement(Channel::control).abort();
         wait_for_ever();
       }},
      {"leave", [&] { group.leave(); }},
      {"sleep", [&] { std::this_thread::sleep_for(std::chrono::seconds(std::stoi(argument))); }},
      {"sleep and share", [&] {
         std::this_thread::sleep_for(std::chrono::seconds(std::stoi(argument)));
         share(group);
       }},
      {"exit", [] { ::_exit(0); }},
  };
  all.at(what)();
}

int rank_program(const std::vector<std::string>& arguments) {
  return as_rank([&] {
    RanksConfig ranks = ranks_of_environment({});
    ranks.timeout = std::stod(arguments.at(0));
    RankGroupOptions options;
    options.last_resort = last_resort;
    options.patience = std::chrono::seconds(6);  // longer than a rank that doesn't hang takes to end, on a machine that has other work
    if (arguments.at(1) == "rejoin") return meet_again(ranks);
    if (arguments.at(1) == "come and go") return come_and_go(ranks);
    const auto group = RankGroup::join(ranks, options);
    say("joined");
    run(*group, arguments.at(1), arguments.size() > 2 ? arguments[2] : "");
  });
}

}  // namespace
}  // namespace gsnake::dist::test

int main(int count, char** arguments) { return gsnake::dist::test::rank_program({arguments + 1, arguments + count}); }
