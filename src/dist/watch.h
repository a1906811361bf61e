// How a group of ranks ends: by this rank, or by another's failure, which it notices.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dist/beat.h"
#include "dist/health.h"
#include "dist/link.h"
#include "dist/rank_group.h"

namespace gsnake::dist {

class Watch {
 public:
  struct Parts {
    c10::intrusive_ptr<c10d::Store> store;  // null: there is nobody else
    bool keeps_store = false;
    std::vector<Watched*> links;            // by what records count; outlive this
    Link* probe = nullptr;                  // one beside those
  };
  Watch(Parts parts, const HealthOptions& health, const RankGroupOptions& options);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // A call of that link ended early, as the connection to that rank broke.
  void suspect(int rank, const std::string& why, const Watched& link);
  // Waits until it is known why a call of that link ended early, and throws that.
  [[noreturn]] void explain(const Watched& link);
  // The same where it may never be known: then it is what its engine says.
  [[noreturn]] void explain(const Watched& link, const std::string& engine_says);
  // Calls are made there from now on, and not in the one before.
  void replace(std::size_t place, Watched* link);

  void on_failure(std::function<void(std::exception_ptr)> told);
  void fail(const std::string& reason) noexcept;
  void leave() noexcept;

 private:
  void run();
  void look(Time time);
  void probe(Time time);
  void convict(std::unique_lock<std::mutex>& lock, const Verdict& verdict);
  void call_last_resort(std::unique_lock<std::mutex>& lock, Time time);
  void publish();
  void abort_links(std::unique_lock<std::mutex>& lock) noexcept;
  [[nodiscard]] bool ended(const Watched& link) const { return verdict_ || own_.state != State::running || link.state().left; }
  [[noreturn]] void throw_end() const;
  [[nodiscard]] std::string own_end() const;
  // False where that was over before.
  bool end(std::unique_lock<std::mutex>& lock, State state, const std::string& message);
  [[nodiscard]] std::vector<Waiting> waiting() const;
  [[nodiscard]] std::exception_ptr failure() const;

  Parts parts_;                      // links under the mutex
  const HealthOptions options_;
  const RankGroupOptions group_options_;
  std::mutex telling_;  // while `told_` is called
  std::function<void(std::exception_ptr)> told_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Health health_;
  Record own_;                      // but for its links
  std::vector<Waiting> broken_;     // calls that ended early
  std::uint64_t said_ = 0;
  Time looked_;
  Time probed_;
  std::optional<Verdict> verdict_;
  std::optional<Time> patience_ends_;
  bool stopping_ = false;
  std::optional<Beat> beat_;
  std::thread thread_;
};

}  // namespace gsnake::dist
