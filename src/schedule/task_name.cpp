#include "schedule/task_name.h"

namespace gsnake::schedule {

std::string name_of(const Task& task) {
  std::string name = kOpNames[static_cast<std::size_t>(task.op)];
  if (task.unit >= 0) name += " unit " + std::to_string(task.unit);
  if (task.micro_batch >= 0) name += " micro-batch " + std::to_string(task.micro_batch);
  if (task.chunk >= 0) name += " chunk " + std::to_string(task.chunk);
  if (task.step_offset < 0) name += " (delayed)";
  return name;
}

}  // namespace gsnake::schedule
