// What a tier of memory must hold, added up before any of it is allocated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gsnake::memory {

struct BudgetItem {
  std::string name;
  std::uint64_t bytes = 0;
  std::string detail;  // how the bytes come about: "8 slots of 12.00 MiB"
};

// A list of charges against one tier's limit. Not thread-safe.
class BudgetPlan {
 public:
  // `tier` is "host" or "device"; its config key is memory.<tier>_budget. `limit_bytes` is inclusive.
  BudgetPlan(std::string tier, std::uint64_t limit_bytes);

  // Charges are independent lines of the table; 0 bytes leave no line.
  void add(std::string name, std::uint64_t bytes, std::string detail = {});

  [[nodiscard]] bool fits() const noexcept { return total_bytes_ <= limit_bytes_; }
  // Of a plan that does not fit: "host memory: 5.25 GiB needed, memory.host_budget allows 4.00 GiB".
  [[nodiscard]] std::string excess() const;

  [[nodiscard]] const std::string& tier() const noexcept { return tier_; }
  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_bytes_; }
  // Saturates at the largest 64-bit number.
  [[nodiscard]] std::uint64_t total() const noexcept { return total_bytes_; }
  [[nodiscard]] const std::vector<BudgetItem>& items() const noexcept { return items_; }  // in the order of add()

  // One line per item, largest first: name, bytes, detail, in aligned columns, each line ended by a newline.
  [[nodiscard]] std::string table() const;

 private:
  std::string tier_;
  std::uint64_t limit_bytes_;
  std::uint64_t total_bytes_ = 0;
  std::vector<BudgetItem> items_;
};

// The shortest "N.NN UNIT" that core::parse_bytes() reads as no less than `bytes`: what a message may tell the user to write.
std::string format_bytes_at_least(std::uint64_t bytes);

}  // namespace gsnake::memory
