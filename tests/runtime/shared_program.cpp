#include "runtime/shared_program.h"

#include <vector>

#include "schedule/emitter.h"
#include "schedule/step.h"

namespace gsnake::runtime::test {
namespace {

using schedule::Access;
using schedule::Lane;
using schedule::Mode;
using schedule::Op;
using schedule::PoolRole;
using schedule::Role;

class SharedFinish {
 public:
  explicit SharedFinish(const schedule::Map& map)
      : map_(map), emitter_(map, schedule::Variant::finish, schedule::Emitter::Purpose::graph), part_(map.chunks[0].cells * sizeof(float)) {}

  schedule::Graph emit() {
    std::vector<int> carried;
    for (int c = 0; c < kSharedChunks; ++c) carried.push_back(emitter_.acquire(host_));
    for (int c = 0; c < kSharedChunks; ++c) {
      gather(c);
      add_up(c);
    }
    return emitter_.finish(carried);
  }

 private:
  void gather(int c) {
    const int own = emitter_.acquire(parts_);
    const int whole = emitter_.acquire(wholes_);
    bring(c, own, 0);
    add(Op::all_gather, Lane::collective, c, whole_bytes(), {own, 0}, {whole, 0});
    emitter_.release(own);
    const int place = c % map_.problem.ranks;
    take_away(c, {whole, static_cast<std::uint64_t>(place) * part_});
    emitter_.release(whole);
  }

  void add_up(int c) {
    const int whole = emitter_.acquire(wholes_);
    const int own = emitter_.acquire(parts_);
    for (int rank = 0; rank < map_.problem.ranks; ++rank) {
      bring(kSharedChunks + (c + rank) % kSharedChunks, whole, static_cast<std::uint64_t>(rank) * part_);
    }
    add(Op::reduce_scatter, Lane::collective, kSharedChunks + c, whole_bytes(), {whole, 0}, {own, 0});
    emitter_.release(whole);
    take_away(kSharedChunks + c, {own, 0});
    emitter_.release(own);
  }

  struct Place {
    int resource = -1;
    std::uint64_t offset = 0;
  };

  // A chunk's weights from SSD.
  void bring(int chunk, int device, std::uint64_t offset) {
    const int host = emitter_.acquire(host_);
    add(Op::read, Lane::ssd_read, chunk, part_, {map_.extent_resource(map_.chunks[static_cast<std::size_t>(chunk)].weight_extent), 0}, {host, 0});
    add(Op::copy, Lane::h2d, chunk, part_, {host, 0}, {device, offset});
    emitter_.release(host);
  }

  // To SSD, in the gradient's place.
  void take_away(int chunk, const Place& device) {
    const int host = emitter_.acquire(host_);
    add(Op::copy, Lane::d2h, chunk, part_, device, {host, 0});
    add(Op::write, Lane::ssd_write, chunk, part_, {host, 0}, {map_.extent_resource(map_.chunks[static_cast<std::size_t>(chunk)].gradient_extent), 0});
    emitter_.release(host);
  }

  void add(Op op, Lane lane, int chunk, std::uint64_t bytes, const Place& from, const Place& to) {
    schedule::Task task;
    task.op = op;
    task.lane = lane;
    task.chunk = chunk;
    task.bytes = bytes;
    emitter_.add(task, {Access{.role = Role::source, .resource = from.resource, .offset = from.offset},
                        Access{.role = Role::destination, .mode = Mode::write, .resource = to.resource, .offset = to.offset}});
  }

  [[nodiscard]] std::uint64_t whole_bytes() const { return part_ * static_cast<std::uint64_t>(map_.problem.ranks); }

  const schedule::Map& map_;
  schedule::Emitter emitter_;
  const std::uint64_t part_;
  const int host_ = map_.pool(PoolRole::host_chunk);
  const int parts_ = map_.pool(PoolRole::device_weights);
  const int wholes_ = map_.pool(PoolRole::device_gradients);
};

}  // namespace

schedule::Problem shared_problem(int ranks) {
  schedule::Problem problem;
  for (int i = 0; i < 2; ++i) add_unit(problem, {.elements = kSharedChunks * schedule::kGrain});
  problem.activation_bytes = 64;
  problem.ids_bytes = 8;
  problem.delay = 1.0;
  problem.gradients_host = 0.0;
  problem.chunk_elements = schedule::kGrain;
  problem.ranks = ranks;
  return problem;
}

schedule::PoolSizes shared_pools(const schedule::Problem& problem) {
  schedule::PoolSizes sizes;
  for (const schedule::Pool& pool : schedule::make_map(problem, {}).pools) sizes.push_back(pool.role == PoolRole::host_chunk ? kSharedChunks + 2 : 2);
  return sizes;
}

schedule::Program shared_program(const schedule::Problem& problem, const schedule::PoolSizes& sizes) {
  schedule::Program program;
  program.map = schedule::make_map(problem, sizes);
  program.delayed = true;
  const auto graph = [&](schedule::Variant variant) -> schedule::Graph& { return program.graphs[static_cast<std::size_t>(variant)]; };
  graph(schedule::Variant::load) = schedule::StepEmitter(program.map, schedule::Variant::load, schedule::Emitter::Purpose::graph).emit();
  graph(schedule::Variant::finish) = SharedFinish(program.map).emit();
  return program;
}

}  // namespace gsnake::runtime::test
