/* The running daemon: owns everything, in the order in which it is made, and reacts to signals. */
#pragma once

#include "base.h"

typedef struct ManagerOptions {
        const char *config_path; /* NULL: the search path */
        const char *listen_path; /* NULL: the sockets that systemd passes */
        const char *state_dir;
        const char *init_path, *fetch_path;
} ManagerOptions;

/* Runs until it is told to stop. Logs what fails. 0, or a negative errno. */
int manager_run(const ManagerOptions *options);
