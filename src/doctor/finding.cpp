#include "doctor/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gsnake::doctor {
namespace {

constexpr std::array kStatuses{Status::ok, Status::warn, Status::lack, Status::unknown};

}  // namespace

const char* name_of(Status status) {
  switch (status) {
    case Status::ok: return "ok";
    case Status::warn: return "warn";
    case Status::lack: return "lack";
    case Status::unknown: break;
  }
  return "unknown";
}

nlohmann::ordered_json to_json(const Findings& findings) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    nlohmann::ordered_json one{{"id", finding.id}, {"status", name_of(finding.status)}, {"seen", finding.seen}};
    if (!finding.remedy.empty()) one["remedy"] = finding.remedy;
    if (!finding.detail.is_null()) one["detail"] = finding.detail;
    all.push_back(std::move(one));
  }
  return {{"findings", std::move(all)}};
}

std::string to_text(const Findings& findings) {
  std::size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.id.size());
  std::string text;
  for (const Finding& finding : findings) {
    text += fmt::format("{:<7} {:<{}}  {}\n", name_of(finding.status), finding.id, width, finding.seen);
    if (!finding.remedy.empty()) text += fmt::format("{:<7} {:<{}}  -> {}\n", "", "", width, finding.remedy);
  }
  std::string counts;
  for (const Status status : kStatuses) {
    const auto count = std::count_if(findings.begin(), findings.end(), [&](const Finding& finding) { return finding.status == status; });
    if (count > 0) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, name_of(status));
  }
  return text + counts + "\n";
}

}  // namespace gsnake::doctor
