// What is to be known of each process once the profiles of a tree are one: its pid and its command, as labels of its samples.
#pragma once

#include <string>
#include <vector>

#include "tools/prof/profile.h"

namespace prof::reader {

// By the comment that libprof writes first ("program: /usr/bin/make, pid 17"), which goes. A label of this name that is there stays.
// The command's name; empty: there is no such comment.
std::string label_with_process(Profile* profile);

// Comments that count something ("…: 17") become one, with the sum; of the others each is there once.
void add_up_comments(std::vector<std::string>* comments);

}  // namespace prof::reader
