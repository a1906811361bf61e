#include "measure/block_stream.h"

#include <utility>

#include "core/errors.h"
#include "store/layout/objects.h"

namespace gsnake::measure {
namespace {

// Where a block belongs: of the blocks of its operation it is number `rank`.
struct Turn {
  io::Direction op = io::Direction::read;
  std::uint64_t rank = 0;
};

Turn turn_of(double read_share, std::uint64_t block) {
  const auto reads_before = static_cast<std::uint64_t>(static_cast<double>(block) * read_share);
  const auto reads_after = static_cast<std::uint64_t>(static_cast<double>(block + 1) * read_share);
  if (reads_after > reads_before) return {io::Direction::read, reads_before};
  return {io::Direction::write, block - reads_before};
}

}  // namespace

BlockStream::Place::Place(BlockStream& stream, std::byte* memory)
    : stream_(stream), memory_(memory), requests_(stream.options_.block_bytes / stream.piece_bytes()) {}

void BlockStream::Place::on_complete(std::error_code error) noexcept {
  if (error) failed_ = true;
  if (error) stream_.fail(error);
  if (pending_.fetch_sub(1) > 1) return;
  if (failed_) return stream_.end();
  if (stream_.options_.checked) return stream_.arrived(*this);
  stream_.count();
  submit_next();
}

void BlockStream::Place::check_read() const noexcept {
  if (requests_.front().op == io::Direction::read) static_cast<void>(store::checksum_of({memory_, stream_.options_.block_bytes}));
}

void BlockStream::Place::submit_next() noexcept {
  if (!stream_.plan(memory_, *this, requests_)) return stream_.end();
  if (stream_.options_.checked && requests_.front().op == io::Direction::write) {
    static_cast<void>(store::checksum_of({memory_, stream_.options_.block_bytes}));
  }
  pending_ = requests_.size();
  if (stream_.engine_.try_submit(requests_)) return;
  stream_.fail(std::make_error_code(std::errc::no_buffer_space));
  stream_.end();
}

BlockStream::BlockStream(io::IoEngine& engine, const TestFiles& files, std::byte* memory, StreamOptions options)
    : engine_(engine), options_(std::move(options)), files_(files.files().size()), pieces_of_file_(files.file_bytes() / piece_bytes()) {
  for (unsigned i = 0; i < options_.depth; ++i) places_.emplace_back(*this, memory + i * options_.block_bytes);
  arrived_.reserve(options_.depth);
}

// False: there is no next one.
bool BlockStream::plan(std::byte* memory, io::Completion& completion, std::vector<io::Request>& requests) {
  if (stopping_) return false;
  const std::uint64_t block = next_.fetch_add(1);
  if (options_.blocks != 0 && block >= options_.blocks) return false;
  const Turn turn = turn_of(options_.read_share, block);
  if (turn.op == io::Direction::read) ++reads_;
  const std::uint64_t first = turn.rank * requests.size();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i] = {.op = turn.op,
                   .file = static_cast<int>((first + i) % files_),
                   .offset = (first + i) / files_ % pieces_of_file_ * piece_bytes(),
                   .data = memory + i * piece_bytes(),
                   .size = piece_bytes(),
                   .completion = &completion};
  }
  return true;
}

void BlockStream::run(Counter* counter) {
  counter_ = counter;
  for (Place& place : places_) place.submit_next();
  std::unique_lock lock(mutex_);
  while (idle_ < places_.size()) {
    told_.wait(lock, [this] { return idle_ == places_.size() || !arrived_.empty(); });
    if (!arrived_.empty()) attend(lock);
  }
  if (error_) core::throw_storage("measure", options_.what, error_, "");
}

void BlockStream::stop() noexcept { stopping_ = true; }

// To the one that has waited longest.
void BlockStream::attend(std::unique_lock<std::mutex>& lock) {
  Place* place = arrived_.front();
  arrived_.erase(arrived_.begin());
  lock.unlock();
  place->check_read();
  count();
  place->submit_next();
  lock.lock();
}

void BlockStream::arrived(Place& place) noexcept {
  const std::lock_guard lock(mutex_);
  arrived_.push_back(&place);
  told_.notify_one();
}

void BlockStream::count() noexcept {
  ++moved_;
  if (counter_ != nullptr) counter_->add(static_cast<double>(options_.block_bytes));
}

// Nothing new is begun.
void BlockStream::fail(std::error_code error) noexcept {
  stopping_ = true;
  const std::lock_guard lock(mutex_);
  error_ = error;
}

void BlockStream::end() noexcept {
  const std::lock_guard lock(mutex_);
  ++idle_;
  told_.notify_one();
}

}  // namespace gsnake::measure
