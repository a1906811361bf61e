#include "faults/fault_case.h"

#include <fstream>
#include <iterator>

namespace gsnake::test {

Surroundings FaultTest::among(const std::string& faults) {
  Surroundings surroundings{{std::string("LD_PRELOAD=") + GSNAKE_FAULT_SHIM, "GSNAKE_FAULTS=" + faults}, nullptr};
#if defined(__SANITIZE_ADDRESS__)
  // Its run-time library is in the program, and would else insist on being loaded before the shim.
  surroundings.environment.emplace_back("ASAN_OPTIONS=verify_asan_link_order=0");
#endif
  return surroundings;
}

void FaultTest::train_undisturbed(std::vector<std::string> changes) {
  changes.insert(changes.end(), {"run.dir=undisturbed", "ssd.paths=[\"undisturbed/ssd\"]", "ssd.weights=[]"});
  const Outcome outcome = train(changes);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
}

void FaultTest::expect_as_undisturbed() {
  EXPECT_EQ(losses("run"), losses("undisturbed"));
  EXPECT_TRUE(state("run") == state("undisturbed")) << "weights or moments differ";
}

int FaultTest::committed_step(const std::string& run) {
  if (!std::filesystem::exists(folder_ / run / "manifest.json")) return -1;
  const Outcome outcome = CommandTest::run({"inspect", run, "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  return outcome.status == 0 ? Json::parse(outcome.out)["step"].get<int>() : -1;
}

// With one path, a file is slot A and then slot B.
std::string FaultTest::state(const std::string& run) {
  const Json inspected = Json::parse(CommandTest::run({"inspect", run, "--json"}).out);
  std::string bytes;
  for (const Json& kind : inspected["kinds"]) {
    EXPECT_EQ(kind["files"].size(), 1U);
    std::ifstream file(kind["files"][0]["file"].get<std::string>(), std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(file), {}};
    const std::size_t slot_bytes = all.size() / kind["slots"].get<std::size_t>();
    bytes += all.substr(slot_bytes * inspected["slot"].get<std::size_t>(), slot_bytes);
  }
  EXPECT_GT(bytes.size(), 100'000U);
  return bytes;
}

}  // namespace gsnake::test
