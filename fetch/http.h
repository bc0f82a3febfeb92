/* One attempt at one download by libcurl: http and https only, whatever a server says. Knows HTTP; knows
 * nothing of who asked, or of what the file is for. */
#pragma once

#include "base.h"
#include "fetch.h"

/* Tells how far it is, a few times a second. Negative ends the download. */
typedef int (*HttpProgress)(const FetchReport *report, void *userdata);

/* Downloads request->url to output_fd, from request->offset on if the server can, else all of it, over what
 * was there. Nothing but the body of an answer that is this file, or the part of it that was asked for, ever
 * gets into the output. */
FetchReport http_download(const FetchRequest *request, int output_fd, HttpProgress progress, void *userdata);
