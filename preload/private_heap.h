// libprof's own heap: its objects' calls to malloc and its kin are linked to private_heap.cc's (wrapped.txt), and go to a jemalloc of its
// own. Nothing of ours is in the host's heap, and the host's allocator cannot block a profile. Normal code.
//
// Where there is no memory for it (RLIMIT_AS, RLIMIT_DATA) std::bad_alloc comes, which nobody but libprof may see: the constructor, the fork
// handlers, the calls of prof.h and whoever writes profiles catch it.
#pragma once

namespace prof {

// At the start, before it is used: whether there is memory for what that takes, and some to go on with. False: it takes none from now on.
bool private_heap_has_room();

// At the start. What cannot even throw ends the process.
void private_heap_start();

// From now on it does so with status 1 where the process is this one, libprof's own; and with these words on stderr (static; null: none).
void private_heap_ends(int own_process, const char* last_words);

}  // namespace prof
