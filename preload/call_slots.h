// Calls that are interposed without exporting their names: the slots through which loaded objects call them (the relocations of
// their procedure linkage and global offset tables) are pointed elsewhere. For names whose mere presence would tell a program
// something, and for options that shall not exist where they are not asked for.
//
// Not seen: objects that are loaded later, calls within the object that defines the function, calls by dlsym().
#pragma once

namespace prof {

struct CallSlot {
  const char* name;
  void* ours;
  void** real;  // filled with the definition that the program would reach; null: there is none, and nothing is done
};

// Points the calls of these names here. Normal code, at start. Objects that define a function of the list, the one that `left_out`
// lies in (null: none) and libprof itself go on as they are.
void point_call_slots(const CallSlot* calls, unsigned count, const void* left_out);

struct PassedCall {
  const char* name;
  const void* ours;  // what libprof exports under the name
  void* real;        // what is behind it; null: nothing, and nothing is done
  unsigned group;    // with which it is put back
};

// The other way round, for what is exported and not wanted: calls that would reach ours reach the real function directly. Only
// calls: an address that the program takes stays the same in all its objects. Normal code, at start, while every object that is
// there was bound in the program's own order. may_return: what is pointed past can be put back; where there are more slots than can be
// remembered, the others stay as they are.
void point_call_slots_past(const PassedCall* calls, unsigned count, bool may_return);

// Puts the slots of a group back, while the program runs. Signal-safe. The objects they are in were there when the program started, so
// they stay; each slot is a word that changes at once.
void put_back_call_slots(unsigned group);

}  // namespace prof
