// Profiles from TOML text, and back.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "core/suggest.h"
#include "greedysnake/error.h"
#include "sim/profile_keys.h"

namespace gsnake::sim {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::usage, message); }

std::string shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&out](const auto& value) { out << value; });
  return out.str();
}

class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  // `prefix`: what comes before a key's own name, "" or "compute.".
  void apply(const Fields& fields, const toml::table& table, const std::string& prefix) const {
    for (const auto& [key, node] : table) {
      const auto field = std::ranges::find(fields, std::string(key.str()), &Field::name);
      if (field == fields.end()) refuse_key(fields, std::string(key.str()), prefix, key.source());
      apply(*field, node, prefix + field->name);
    }
  }

 private:
  void apply(const Field& field, const toml::node& node, const std::string& full_name) const {
    if (!field.table.empty()) {
      const toml::table* table = node.as_table();
      if (table == nullptr) refuse(fmt::format("{} = {} in {}: it is a table of keys, not a value", full_name, shown(node), at(node.source())));
      return apply(field.table, *table, full_name + ".");
    }
    if (field.add_row) return apply_rows(field, node, full_name);
    if (!field.assign(node)) refuse(fmt::format("{} = {} in {}: must be {}", full_name, shown(node), at(node.source()), field.allowed));
  }

  void apply_rows(const Field& field, const toml::node& node, const std::string& full_name) const {
    const toml::array* array = node.as_array();
    const bool tables = array != nullptr && std::ranges::all_of(*array, [](const toml::node& element) { return element.is_table(); });
    if (!tables) refuse(fmt::format("{} = {} in {}: must be an array of tables", full_name, shown(node), at(node.source())));
    std::set<std::string> names;
    for (const toml::node& element : *array) {
      const Fields row = field.add_row();
      apply(row, *element.as_table(), full_name + ".");
      for (const Field& part : row) {
        const bool needed = part.names_row || part.required;
        if (needed && !element.as_table()->contains(part.name)) {
          refuse(fmt::format("{} in {}: lacks {}.{}, which must be {}", full_name, at(element.source()), full_name, part.name, part.allowed));
        }
        if (part.names_row && !names.insert(part.text()).second) {
          refuse(fmt::format("{}.{} = {} in {}: an entry before it has the same; keep one of them", full_name, part.name, part.text(),
                             at(element.source())));
        }
      }
    }
  }

  [[noreturn]] void refuse_key(const Fields& fields, const std::string& key, const std::string& prefix, const toml::source_region& region) const {
    std::vector<std::string> names;
    for (const Field& field : fields) names.push_back(field.name);
    const std::string meant = core::nearest(key, names);
    const std::string suggestion = meant.empty() ? fmt::format("; there are {}", fmt::join(names, ", ")) : fmt::format("; did you mean {}{}?", prefix, meant);
    refuse(fmt::format("unknown key {}{} in {}{}", prefix, key, at(region), suggestion));
  }

  [[nodiscard]] std::string at(const toml::source_region& region) const { return fmt::format("{}:{}", name_, region.begin.line); }

  const std::string& name_;
};

// As the entries of an inline table.
std::string inline_of(const Fields& row) {
  std::string text;
  for (const Field& field : row) {
    const std::string value = field.text();
    if (!value.empty()) text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", field.name, value);
  }
  return text;
}

std::string lines_of(const Fields& fields) {
  std::string text;
  for (const Field& field : fields) {
    if (field.text) {
      const std::string value = field.text();
      if (!value.empty()) text += fmt::format("{} = {}\n", field.name, value);
    } else if (field.rows) {
      std::string rows;
      for (const Fields& row : field.rows()) rows += fmt::format("  {{ {} }},\n", inline_of(row));
      if (!rows.empty()) text += fmt::format("{} = [\n{}]\n", field.name, rows);
    }
  }
  return text;
}

}  // namespace

MachineProfile parse_profile(const std::string& toml, const std::string& name) {
  MachineProfile profile;
  try {
    const toml::table table = toml::parse(toml);
    Reader(name).apply(fields_of(profile), table, "");
  } catch (const toml::parse_error& error) {
    const auto& begin = error.source().begin;
    refuse(fmt::format("{}:{}:{}: not valid TOML: {}", name, begin.line, begin.column, error.description()));
  }
  return profile;
}

std::string to_toml(const MachineProfile& profile) {
  MachineProfile copy = profile;
  std::string values;
  std::string tables;
  for (const Field& field : fields_of(copy)) {
    if (field.text) {
      values += fmt::format("{} = {}\n", field.name, field.text());
    } else if (field.rows) {
      for (const Fields& row : field.rows()) tables += fmt::format("\n[[{}]]\n{}", field.name, lines_of(row));
    } else {
      tables += fmt::format("\n[{}]\n{}", field.name, lines_of(field.table));
    }
  }
  return values + tables;
}

}  // namespace gsnake::sim
