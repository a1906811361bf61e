// What `gsnake report` put into a page.
#pragma once

#include <string>

namespace gsnake::test {

// The JSON that the page draws.
inline std::string data_text_on(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"data\">";
  const std::size_t from = page.find(begin) + begin.size();
  return page.substr(from, page.find("</script>", from) - from);
}

}  // namespace gsnake::test
