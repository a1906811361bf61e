// A step's token ids and labels on their way to the device, and what its head tells on its way back.
#pragma once

#include <vector>

#include "schedule/emitter.h"

namespace gsnake::schedule {

class BatchTasks {
 public:
  BatchTasks(Emitter& emitter, const Map& map) : emitter_(emitter), map_(map) {}

  // Of a graph that computes: takes the slot that its batch was put into, and another, untouched, for the batch of the graph after it.
  void open();
  // After the last task.
  void close();

  // Brings what `unit` reads of a micro-batch to the device, and returns where. The caller releases it.
  int fetch(BatchPart part, int unit, int micro_batch);
  // Where the head puts a micro-batch's loss and what else it tells, until the graph ends.
  int new_loss();
  void bring_back(int loss, int unit, int micro_batch);

 private:
  Emitter& emitter_;
  const Map& map_;
  int own_ = -1;
  int next_ = -1;
  std::vector<int> losses_;
};

}  // namespace gsnake::schedule
