/* What the service manager says of nsrootd's units, by systemctl(1), for an ordinary user and for not longer
 * than a few seconds. Knows the units' names; judges nothing. */
#pragma once

#include "base.h"

typedef struct Units {
        bool known;         /* it was asked, and answered; else nothing below is set */
        bool installed;     /* it has nsrootd.socket */
        char *socket_state; /* "active", "inactive", "failed", …; owned, NULL: not said */
        char *service_state;
        char *listens;                /* the path nsrootd.socket listens on; owned, NULL: none */
        int64_t descriptor_store_max; /* of nsrootd.service; -1: not said */
} Units;

/* Runs systemctl, which has to be in PATH. */
void units_probe(Units *ret);
/* What it prints, for tests; text is changed. */
void units_parse(char *text, Units *ret);
void units_done(Units *u);
