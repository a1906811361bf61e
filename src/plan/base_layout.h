// Which of a model's parameters a base has, and where.
#pragma once

#include <optional>

#include "base/base.h"
#include "greedysnake/config.h"
#include "plan/model_layout.h"
#include "runtime/base_hashes.h"
#include "store/store.h"

namespace gsnake::plan {

// Frozen parameters are the base's from now on, packed as it has them. Throws Error(usage) naming `folder` where it is another model's: units, a
// parameter, its sizes.
void pack(ModelLayout& layout, const base::BaseManifest& manifest, const std::string& folder);

// A unit's parameter in its object there; null: it has none of that name.
const base::BaseTensor* find_tensor(const base::BaseManifest& manifest, int unit, const std::string& parameter);

// Of config.adapter.base, if there is one. Throws as base::Base::open().
std::optional<base::Base> open_base(const Config& config);
// As the store and the executor are told of the layout's packed objects. The hashes are borrowed from the base.
std::optional<store::BaseFile> base_file(const std::optional<base::Base>& base, const ModelLayout& layout);
runtime::BaseHashes base_hashes(const std::optional<base::Base>& base, const ModelLayout& layout);

}  // namespace gsnake::plan
