// The server's end of the pair that its process answers at (control_message.h). Normal code, one thread.
#pragma once

#include <optional>

#include "core/serve/control_message.h"

namespace prof {

class Control {
 public:
  explicit Control(int descriptor) : descriptor_(descriptor) {}

  int descriptor() const { return descriptor_; }
  // Something that has no answer.
  void tell(ControlOp op);
  // Waits for the answer, 2 s at most. None: the process has ended, or it stands still (stopped, frozen); while it does, further
  // questions fail at once.
  std::optional<ControlMessage> ask(ControlOp op, uint64_t value = 0);
  // Something that is to be done though nobody may answer: one that stands still does it when it goes on.
  void order(ControlOp op, uint64_t value);
  // Reads what came too late. False: the process has ended, or executes another program.
  bool is_there();

 private:
  const int descriptor_;
  uint32_t sequence_ = 0;
  bool is_silent_ = false;
};

}  // namespace prof
