// Against the plain loop over tokens, bit for bit.
#include "kernels/embedding_gradient.h"

#include "support.h"

namespace gsnake::kernels {
namespace {

// tokens, hidden, vocab, offset
using Shape = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
class EmbeddingGradient : public testing::TestWithParam<Shape> {};

void expect_equal(const EmbeddingShape& shape, const std::vector<std::int64_t>& ids, std::int64_t offset) {
  std::mt19937 random(9);
  Array grad_output(shape.dtype, shape.tokens * shape.hidden, offset);
  grad_output.fill(random, 2.0);
  Buffer<float> before(shape.vocab * shape.hidden);
  for (std::int64_t i = 0; i < before.size(); ++i) before[i] = static_cast<float>(random() % 1000) / 7.0F;
  Buffer<float> want(before.size());
  std::copy_n(before.data(), before.size(), want.data());
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    if (ids[t] < 0 || ids[t] >= shape.vocab) continue;
    for (std::int64_t i = 0; i < shape.hidden; ++i) want[ids[t] * shape.hidden + i] += static_cast<float>(grad_output[t * shape.hidden + i]);
  }
  expect_same_in_every_order([&] {
    Buffer<float> grad_weight(before.size(), offset);
    std::copy_n(before.data(), before.size(), grad_weight.data());
    Buffer<unsigned char> workspace(static_cast<std::int64_t>(embedding_workspace_bytes(shape)));
    std::memset(workspace.data(), 0xff, workspace.bytes().size());
    EXPECT_EQ(embedding_gradient(shape, ids.data(), grad_output.data(), grad_weight.data(), workspace.data(), nullptr), cudaSuccess);
    EXPECT_TRUE(grad_weight.bytes() == want.bytes());
    return grad_weight.bytes();
  });
}

TEST_P(EmbeddingGradient, HasTheBitsOfTheLoopOverTokens) {
  const auto [tokens, hidden, vocab, offset] = GetParam();
  std::mt19937 random(4);
  std::vector<std::int64_t> ids;
  for (std::int64_t t = 0; t < tokens; ++t) ids.push_back(static_cast<std::int64_t>(std::min(random(), random()) % static_cast<std::uint64_t>(vocab)));
  for (const Dtype dtype : kDtypes) expect_equal({tokens, hidden, vocab, dtype}, ids, offset);
}

constexpr bool kSmall = kThreadSanitizer;
INSTANTIATE_TEST_SUITE_P(Shapes, EmbeddingGradient,
                         testing::Values(Shape{0, 4, 3, 0}, Shape{1, 1, 1, 0}, Shape{37, 5, 7, 1}, Shape{300, 12, kSmall ? 40 : 2000, 0}, Shape{65, kSmall ? 1030 : 1500, 3, 0},
                                         Shape{kSmall ? 200 : 3000, 9, 50, 3}));

// A list that does not fit into shared memory is found by reading all ids again.
TEST(EmbeddingLists, LongerThanSharedMemoryKeepTheOrder) {
  std::vector<std::int64_t> ids;
  for (int t = 0; t < 3301; ++t) ids.push_back(t % 5 == 3 ? t % 11 : t == 2000 ? 1 : 2);
  expect_equal({static_cast<std::int64_t>(ids.size()), 6, 12, Dtype::fp32}, ids, 0);
  ids.assign(1024, 2);  // just fits
  expect_equal({1024, 3, 4, Dtype::bf16}, ids, 0);
  ids.assign(1025, 2);
  expect_equal({1025, 3, 4, Dtype::bf16}, ids, 0);
}

TEST(EmbeddingIds, OutsideTheTableArePassedOver) { expect_equal({5, 4, 3, Dtype::fp32}, {2, -1, 3, 2, std::int64_t{1} << 40}, 0); }

TEST(EmbeddingShapes, TooLargeAreRefused) {
  EXPECT_EQ(embedding_gradient({std::int64_t{1} << 31, 1, 1, Dtype::fp32}, nullptr, nullptr, nullptr, nullptr, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace gsnake::kernels
