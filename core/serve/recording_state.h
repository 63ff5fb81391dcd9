// Whether a kind of profile is being recorded. Plain data.
#pragma once

namespace prof {

enum class Recording {
  always,        // what it shows is of the moment of the request: stacks
  on,            // it is recorded
  at_request,    // a request switches it on, for as long as it takes
  from_request,  // the first request switches it on, for good
  off            // it cannot be had
};

}  // namespace prof
