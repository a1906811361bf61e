#include "memory/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "core/bytes.h"

namespace gsnake::memory {

BudgetPlan::BudgetPlan(std::string tier, std::uint64_t limit_bytes) : tier_(std::move(tier)), limit_bytes_(limit_bytes) {}

void BudgetPlan::add(std::string name, std::uint64_t bytes, std::string detail) {
  if (bytes == 0) return;
  items_.push_back({std::move(name), bytes, std::move(detail)});
  const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - total_bytes_;
  total_bytes_ += std::min(bytes, room);
}

std::string BudgetPlan::excess() const {
  const std::string needed = format_bytes_at_least(total_bytes_);
  std::string allowed = core::format_bytes(limit_bytes_);
  if (allowed == needed) allowed = fmt::format("{} B less", total_bytes_ - limit_bytes_);
  return fmt::format("{0} memory: {1} needed, memory.{0}_budget allows {2}", tier_, needed, allowed);
}

std::string BudgetPlan::table() const {
  std::vector<const BudgetItem*> rows;
  std::size_t name_width = 0;
  for (const BudgetItem& item : items_) {
    rows.push_back(&item);
    name_width = std::max(name_width, item.name.size());
  }
  std::stable_sort(rows.begin(), rows.end(), [](const BudgetItem* a, const BudgetItem* b) { return a->bytes > b->bytes; });
  std::string text;
  for (const BudgetItem* row : rows) {
    std::string line = fmt::format("  {:<{}}  {:>11}  {}", row->name, name_width, core::format_bytes(row->bytes), row->detail);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string format_bytes_at_least(std::uint64_t bytes) {
  static constexpr std::array<std::pair<std::uint64_t, const char*>, 4> kUnits{
      {{1ULL << 40, "TiB"}, {1ULL << 30, "GiB"}, {1ULL << 20, "MiB"}, {1ULL << 10, "KiB"}}};
  for (const auto& [unit, name] : kUnits) {
    if (bytes < unit) continue;
    // Where hundredths of a unit are whole bytes (quarters), they are exact; elsewhere a reader that rounds down still gets at least
    // `bytes`.
    const std::uint64_t hundredths = core::ceil_div(bytes % unit * 100, unit);
    const std::uint64_t total = bytes / unit * 100 + hundredths;
    return fmt::format("{}.{:02} {}", total / 100, total % 100, name);
  }
  return fmt::format("{} B", bytes);
}

}  // namespace gsnake::memory
