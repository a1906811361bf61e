#include "report/page.h"

#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "report/page_data.h"
#include "report/page_files.h"

namespace gsnake::report {
namespace {

constexpr std::string_view kSection = "<!-- section ";  // NAME --> ... <!-- end -->
constexpr std::string_view kEnd = "<!-- end -->";

// Leaves out the parts of the template that belong to other sections.
std::string keep_sections(std::string_view text, const std::set<std::string>& sections) {
  std::string kept;
  while (true) {
    const std::size_t begin = text.find(kSection);
    kept += text.substr(0, begin);
    if (begin == std::string_view::npos) return kept;
    text.remove_prefix(begin + kSection.size());
    const std::size_t close = text.find(" -->");
    const std::size_t end = text.find(kEnd);
    if (sections.contains(std::string(text.substr(0, close)))) kept += text.substr(close + 4, end - close - 4);
    text.remove_prefix(end + kEnd.size());
  }
}

// Puts a text for each {{name}} of the template. What is put in is not looked at again.
std::string fill(std::string_view text, const std::map<std::string, std::string, std::less<>>& values) {
  std::string filled;
  while (true) {
    const std::size_t begin = text.find("{{");
    filled += text.substr(0, begin);
    if (begin == std::string_view::npos) return filled;
    const std::size_t end = text.find("}}", begin);
    filled += values.find(text.substr(begin + 2, end - begin - 2))->second;
    text.remove_prefix(end + 2);
  }
}

const char* kind_of(Source source) { return source == Source::run ? "Training run" : source == Source::plan ? "Plan" : "Simulation"; }

}  // namespace

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string dump_for_script(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      safe += "\\u003c";
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string page_of(const ReportInput& input, const PageLimits& limits) {
  const Json data = page_data(input, limits);
  return fill(keep_sections(page_template(), sections_of(data)), {{"kind", kind_of(input.source)},
                                                                  {"name", escape_html(input.name)},
                                                                  {"style", std::string(page_style())},
                                                                  {"data", dump_for_script(data)},
                                                                  {"script", std::string(page_script())}});
}

}  // namespace gsnake::report
