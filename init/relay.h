/* What the main command prints, where nsroot-init keeps it: the master of its terminal, or pipes. */
#pragma once

#include "polls.h"
#include "ring-writer.h"

#define RELAY_SOURCES 3

typedef struct Relay {
        int sources[RELAY_SOURCES]; /* by RingStream; -EBADF: there is none, or no more */
        int slave; /* kept open: a master without a slave that is open gives errors (pty(7)) */
        bool full; /* the terminal takes no more input now */
        size_t polls[RELAY_SOURCES];
} Relay;

void relay_init(Relay *r);
/* Makes a pipe of that owner's for each of standard output and error that is -EBADF and puts its write end
 * there. */
int relay_open_pipes(Relay *r, int stdio[3], uid_t owner);
/* Takes both ends of a terminal. */
void relay_take_terminal(Relay *r, int master, int slave);

void relay_poll(Relay *r, Polls *polls);
void relay_dispatch(Relay *r, const Polls *polls, Ring *ring);
/* Reads what has been printed before now. */
void relay_drain(Relay *r, Ring *ring);

/* Types at the terminal; returns how many bytes are done with. 0: not now, and `full` is set until it takes
 * some again. Without a terminal all is done with. */
size_t relay_type(Relay *r, const char *bytes, size_t n);
/* The terminal's program is told in any case. */
void relay_resize(Relay *r, uint16_t columns, uint16_t rows);
