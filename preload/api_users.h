// Whether the program, or a library that is loaded with it, was made to call libprof (prof.h), or gperftools' ProfilerStart.
#pragma once

namespace prof {

// By the note that prof.h leaves in an object, or by the names that the object wants from others. Normal code, at start. Objects that are
// loaded later are not seen.
bool program_uses_api();

}  // namespace prof
