// How often a test repeats what has to be done many times to show something: less often under a tool that takes far longer (tests/sanitize.mk).
#pragma once

#ifndef FEWER_ROUNDS
#define FEWER_ROUNDS 1
#endif

constexpr int rounds(int usual) { return usual / FEWER_ROUNDS; }
