// What the server (server.h) asks of the process that it serves, and the answers: fixed packets over a SOCK_SEQPACKET pair, one answer
// to each question, in order. In the process a helper thread answers (preload/http_helper.h). Plain data.
#pragma once

#include <cstdint>

namespace prof {

enum class ControlOp : uint32_t {
  listening,  // it serves now: no answer
  leaving,    // it ends, and has said why: no answer
  read,  // the region is about to be read: open it to the server. extra: 1: ServerArguments::memory has a copy of it now
  switch_on,  // value: a ProfileKind. result: since when (ns, CLOCK_REALTIME), 0: it cannot be; extra: 1: from the start
  count_cpu,   // value: 1 on, 0 off. result: 1 done
  count_wall,  // likewise
  trace,       // likewise: waits are recorded, and CPU ticks where SIGPROF is to be had
  view_threads,  // every thread's stack, now. result: the number of the snapshot, 0: not now; extra: when it was (ns, CLOCK_REALTIME)
  block_rate,      // value: ns; the kind is on then. result: since when, 0: it cannot be
  mutex_fraction,  // value; likewise
  state,  // value: a ProfileKind; the program may have changed it. result: since when it is recorded, 0: it is not; extra: its rate
  paused,  // result: 1: the program has paused recording
};

struct ControlMessage {
  ControlOp op;
  uint32_t sequence;  // of the question; the same in its answer
  uint64_t value;
  int64_t result;
  int64_t extra;
};

}  // namespace prof
