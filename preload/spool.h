// The region in a file that outlives the process (PROF_SPOOL), from which `prof recover` writes the profiles of one that was killed.
//
// Normal code, at start, in a child of fork, and at exit. No descriptor of it stays open, and no file of it is ever touched where the file
// system could refuse a page: see core/base/region.h. What is refused here costs a line and the recovery, no more: the region is
// anonymous memory then.
#pragma once

#include "core/base/region_layout.h"
#include "core/report/config.h"
#include "core/report/output.h"

namespace prof {

// What the file is to say of the process. Once; the two stay where they are.
void spool_prepare(const Config& config, const Output& output);

// The region, in a new file. False: none is wanted, or it was refused, and that was said.
bool spool_create_region();
// Puts into it what it takes to write profiles of it. parent: in a child of fork, the region whose code is here too; else null.
void spool_describe(const RegionHeader* parent);

// In a process of its own that is going to write the profiles, and ends then: who recovers them leaves them to it. Where that one has been
// first, nothing is to be written: false.
bool spool_claim();
// Whether the region lies in a file. Signal-safe.
bool spool_is_on();
// At the end; signal-safe. What is written needs no recovery: the file goes, or those kinds of it are not wanted any more (a bit each).
void spool_finish(bool is_written, uint32_t written_kinds = 0);
// Only the name goes: recording goes on in memory. Signal-safe.
void spool_unlink();
// The same for an exec of which nothing is to be kept; and where that has failed, whyever, the file is made again, so that a kill loses
// nothing: of a process with one thread. Signal-safe; in a child of vfork nothing happens.
void spool_before_exec();
void spool_exec_failed();
// There will be no recording: the file goes.
void spool_drop();

}  // namespace prof
