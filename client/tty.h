/* The caller's terminal: raw while a session has it, and as it was before whatever ends this process, but
 * SIGKILL. There is one terminal a process, and signal handlers can be told of it in no other way: its state
 * is global. Knows nothing of sessions. */
#pragma once

#include <sys/ioctl.h>

#include "base.h"

/* Takes charge of the terminal: from now on every signal that would end this process gives it back first.
 * Signals that are ignored stay ignored. Returns -ENOTTY and other errors of tcgetattr(3). */
int tty_guard(int fd);
/* Bytes as they are typed, no echo, no signals. A process in the background is stopped (SIGTTOU) until it is
 * not. */
int tty_raw(void);
/* As it was before tty_raw; nothing if it is not raw, or if it has become somebody else's (this process is
 * in the background). Safe in a signal handler. */
void tty_restore(void);

/* Another open file description of the terminal fd, of our own, whose reads do not wait: what a poll found
 * can be gone again before it is read (^C discards it). The caller's; -ENOTTY, or an error of open(2), as
 * for a terminal that somebody else was given. */
int tty_reopen(int fd);

/* Whether reading from fd now would stop this process (SIGTTIN): it is its terminal, and it is in the
 * background. */
bool tty_in_background(int fd);
