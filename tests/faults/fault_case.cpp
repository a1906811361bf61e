#include "faults/fault_case.h"

#include <fstream>
#include <iterator>
#include <numeric>

#include "store/layout/volume.h"

namespace gsnake::test {

namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

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

std::string FaultTest::state(const std::string& run) {
  const Json storage = Json::parse(read_file(folder_ / run / "manifest.json"))["storage"];
  const store::StripedVolume volume(storage["stripe_weights"].get<std::vector<double>>());
  std::string bytes;
  for (const auto& [kind, layout] : storage["kinds"].items()) {
    std::vector<std::string> files;
    for (const Json& path : storage["paths"]) files.push_back(read_file(path["path"].get<std::string>() + "/" + storage.value("file_prefix", "") + kind + ".bin"));
    const auto sizes = layout["padded_bytes"].get<std::vector<std::uint64_t>>();
    const std::uint64_t slot_bytes = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0});
    const std::uint64_t begin = slot_bytes * storage["slot"].get<std::uint64_t>();
    for (std::uint64_t done = 0; done < slot_bytes;) {
      const store::Piece piece = volume.piece_at(begin + done, slot_bytes - done);
      bytes += files[static_cast<std::size_t>(piece.path)].substr(piece.file_offset, piece.bytes);
      done += piece.bytes;
    }
  }
  EXPECT_GT(bytes.size(), 500'000U);
  return bytes;
}

}  // namespace gsnake::test
