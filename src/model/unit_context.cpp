#include "model/unit_context.h"

namespace gsnake::model {

UnitContext& unit_context() {
  static thread_local UnitContext context;
  return context;
}

}  // namespace gsnake::model
