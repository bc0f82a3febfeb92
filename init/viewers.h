/* Who looks at a session's output, and types: a stream socket, and a cursor into the ring. */
#pragma once

#include "relay.h"

#define VIEWERS_MAX 32

typedef struct Viewer {
        int fd;            /* or -EBADF: nobody */
        bool input_ended;  /* it still sees output */
        uint64_t position; /* of the record that has its next byte, */
        uint64_t offset;   /* which is that one of all output */
        uint64_t lost;     /* bytes that it has still to be told of; */
        size_t told;       /* so much of that notice is sent */
        size_t poll;
} Viewer;

typedef struct Viewers {
        Viewer viewers[VIEWERS_MAX];
} Viewers;

void viewers_init(Viewers *v);
/* Takes the socket. One too many, or one of a session that keeps no output, is closed. */
void viewers_add(Viewers *v, const Ring *ring, int fd, bool replay);
/* Nothing that they type is read from now on. */
void viewers_end_input(Viewers *v);
/* Closes those that have all, and says whether there are others. */
bool viewers_are_behind(Viewers *v, const Ring *ring);

void viewers_poll(Viewers *v, const Ring *ring, const Relay *relay, Polls *polls);
void viewers_dispatch(Viewers *v, const Ring *ring, Relay *relay, const Polls *polls);
