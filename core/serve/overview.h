// What is recorded in a process, all together: for its index, its status and its metrics. Normal code.
#pragma once

#include <string>

#include "core/serve/host_process.h"
#include "core/serve/index_page.h"
#include "core/serve/status.h"

namespace prof {

// Reads what is recorded; switches nothing on. Throws Refused.
Status status_of(HostProcess* host);

// origin, fetch_command: see IndexPage.
IndexPage index_of(const Status& status, std::string origin, std::string fetch_command);

}  // namespace prof
