// SPDX-License-Identifier: MIT
// How many threads of a team are worth using at the moment.
#ifndef TT_BASE_TEAM_H
#define TT_BASE_TEAM_H

// The sizes that a team of at most `most` threads may have: about k eighths of it, at least 1. What
// regions need, as scratch memory, they need at each of them.
enum { TT_TEAM_SIZES = 8 };
int tt_team_choice(int most, int k); // k: 0 (1 thread) to TT_TEAM_SIZES (`most`)

// Of at most `most` threads, those that a parallel region of the calling thread shall have. A team
// waits for its slowest: with more threads than the machine has processors to spare, each of the
// many short regions waits until one that was put aside gets its turn, several times as long as one
// thread alone would take. So a team whose threads had to wait for processors becomes smaller, and
// larger again when they no longer wait. The bits of a result never depend on it.
//
// To be asked before every step: it looks at the clock, and a hundred times a second at what the
// kernel counts. Where the kernel does not tell (no /proc), it is `most`.
int tt_team_size(int most);

#endif
