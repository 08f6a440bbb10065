// SPDX-License-Identifier: MIT
// How many threads of a team are worth using at the moment.
#ifndef TT_BASE_TEAM_H
#define TT_BASE_TEAM_H

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
