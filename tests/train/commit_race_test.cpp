// A durable run through the public interface, whose caller does work of its own between steps.
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/unique_fd.h"
#include "sweep.h"
#include "train/small_run.h"

namespace gsnake::test {
namespace {

// Names that are removed from a folder, as the kernel tells.
class RemovalWatch {
 public:
  explicit RemovalWatch(const std::string& folder) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    EXPECT_GE(::inotify_add_watch(fd_.get(), folder.c_str(), IN_DELETE), 0);
  }
  // How often `name` was, since the last call.
  int take(const std::string& name) {
    int removals = 0;
    alignas(inotify_event) char events[4096];
    for (ssize_t bytes = 0; (bytes = ::read(fd_.get(), events, sizeof events)) > 0;) {
      for (const char* at = events; at < events + bytes;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        if (event->len > 0 && name == event->name) ++removals;
        at += sizeof(inotify_event) + event->len;
      }
    }
    return removals;
  }

 private:
  core::UniqueFd fd_;
};

Config tiny_config(const TempFolder& folder) {
  ModelConfig model = small_gpt2();
  model.layers = 1;
  model.hidden = 16;
  model.heads = 2;
  model.vocab = 64;
  model.dropout = 0.0;
  Config config = small_config(model, 1, folder);
  config.run.durability = Durability::commit;
  config.run.snapshot_every = 50;
  return config;
}

// Up to 4 ms of its own work: so steps begin at any point of a commit.
TEST(CommitRaceTest, OfStepsAtAnyTimeNeitherTheCommitNorASnapshotIsRemoved) {
  const TempFolder folder;
  const Config config = tiny_config(folder);
  const std::vector<Batch> batches = random_batches(3, 1, config.model.vocab);
  { Trainer(models::make(config.model), config).commit(); }
  RemovalWatch watch(config.run.dir);
  std::mt19937 random(1);
  const int steps = sweep(150, 200'000);
  {
    Trainer trainer(models::make(config.model), config, {Resume::must, false, {}, {}, {}});
    for (int i = 0; i < steps; ++i) {
      trainer.step(batches[static_cast<std::size_t>(i) % batches.size()]);
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 4000));
      ASSERT_EQ(watch.take("manifest.json"), 0) << "after step " << i + 1;
    }
    trainer.commit();
  }
  for (const char* name : {"manifest.json", "snapshot-0.json", "snapshot-1.json"}) EXPECT_TRUE(std::filesystem::exists(config.run.dir + "/" + name)) << name;
  EXPECT_EQ(Trainer(models::make(config.model), config, {Resume::must, false, {}, {}, {}}).completed_steps(), steps);
}

}  // namespace
}  // namespace gsnake::test
