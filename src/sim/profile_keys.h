// The keys of a profile's file, bound to a profile: reading and writing follow the same list.
#pragma once

#include <toml++/toml.h>

#include <functional>
#include <string>
#include <vector>

#include "sim/profile.h"

namespace gsnake::sim {

// A value; a table of fields; or an array of tables, each with fields of its own.
struct Field {
  std::string name;
  std::string allowed{};  // of a value: what a refusal says it must be
  // Of a value. False: it is not allowed.
  std::function<bool(const toml::node&)> assign{};
  std::function<std::string()> text{};  // as TOML has it; empty: nothing to say
  bool names_row = false;             // must be there, and no two rows have the same
  bool required = false;              // of a row
  std::vector<Field> table{};
  // Of an array: one more row, and those that there are.
  std::function<std::vector<Field>()> add_row{};
  std::function<std::vector<std::vector<Field>>()> rows{};
};
using Fields = std::vector<Field>;

// `profile` outlives them.
Fields fields_of(MachineProfile& profile);

}  // namespace gsnake::sim
