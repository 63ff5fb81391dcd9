// Heap sampling of the whole process: what the interposed allocation calls hand over to. Lock-free and signal-safe where not said
// otherwise: the program may call malloc in a signal handler, and our own handlers may interrupt this.
//
// The way of a call: interpose_malloc.cc counts its bytes (core/record/byte_sampler.h) and makes the real call. One in so many
// bytes comes here after it (heap_allocated), and a freed block whose class has sampled ones comes here before it (heap_freed).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/record/byte_sampler.h"
#include "core/record/live_blocks.h"

namespace prof {

// Recording begins, or goes on at another rate: the region has its heap tables. rate: mean bytes between samples; 0: no more are
// taken, but what is freed of them is seen. Signal-safe once
// fork_flag_set() was called; again in a child of fork.
void heap_sampling_start(uint64_t rate, unsigned stack_depth);

// Nothing is recorded from now on: before the first start, after the last profile, in a child that is not followed.
void heap_sampling_stop();
// Nothing for now: in a child of fork, until it is decided whether it is recorded.
void heap_sampling_pause();

// Called after an allocation for which count_bytes() said so; block may be null. errno stays. Returns block.
void* heap_allocated(void* block, size_t size);

// Called before a block is given back for which may_be_live() said so.
void heap_freed(void* block);

// The same around a realloc: taken out before, and settled after it. moved: what the real call returned.
TakenBlock heap_taken(void* block);
void heap_settled(const void* block, const TakenBlock& taken, bool was_freed);

// Memory that the program mapped: few and large, so that each is recorded, and stands for itself.
void heap_mapped(const void* block, size_t size);
// One that was taken out lost `bytes` at its front; what is left begins at `rest`. Nothing is left: freed.
void heap_unmapped(const void* rest, const TakenBlock& taken, size_t bytes);

// Called at some allocations, in the program's own context: a signal that every thread blocks can be looked for here.
void heap_sampling_on_visit(void (*visit)());

}  // namespace prof
