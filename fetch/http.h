/* One download by libcurl: http and https only, whatever a server says. Knows HTTP; knows nothing of who
 * asked, or of what the file is for. */
#pragma once

#include "base.h"
#include "fetch.h"

/* Tells how far it is, a few times a second. Negative ends the download. */
typedef int (*HttpProgress)(int64_t done, int64_t total, void *userdata);

/* Downloads request->url to output_fd, from its beginning. Takes up a download that was cut short where it
 * ended, a few times, if the server can. */
FetchReport http_download(const FetchRequest *request, int output_fd, HttpProgress progress, void *userdata);
