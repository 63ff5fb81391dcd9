// unshare and setns, which the kernel refuses a process with more than one thread where a user or time namespace is concerned: once more then,
// while libprof's own threads are not there. Whatever else is refused stays so, and they stay. Normal code.
#pragma once

namespace prof {

// As the real calls, errno included. For a moment, of a second or more where the server of PROF_HTTP is busy, every signal is blocked.
int unshare_as_lone_thread(int flags);
int setns_as_lone_thread(int fd, int type);

// libprof's threads end, for good. Normal code.
void helpers_leave();

}  // namespace prof
