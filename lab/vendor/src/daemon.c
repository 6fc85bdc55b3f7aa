/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the vendor's daemons have in common.
 */
#include "daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "state.h"

void complain(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s\n", text);
    syslog(LOG_ERR, "%s", text);
}

char *make_run_file(const char *name)
{
    char *path = strdup(run_path(name));
    char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        exit(EXIT_FAILURE);
    *slash = '\0';
    mkdir(path, 0755);
    *slash = '/';
    int descriptor = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (descriptor < 0) {
        complain("cannot write %s: %m", path);
        exit(EXIT_FAILURE);
    }
    close(descriptor);
    return path;
}

/* The signals that end a daemon, from now on for wait_for_end alone. */
static sigset_t hold_ends(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    return ends;
}

void go_to_background(const char *pid_path)
{
    /* Before there is a child: one that is ended at once takes its pid file away, too. */
    hold_ends();
    pid_t child = fork();
    if (child < 0) {
        complain("cannot start in the background: %m");
        exit(EXIT_FAILURE);
    }
    if (!child) {
        setsid();
        if (chdir("/"))
            _exit(EXIT_FAILURE);
        /* Whoever reads the starter's output must not wait for the daemon's. */
        int nowhere = open("/dev/null", O_RDWR);
        for (int stream = 0; nowhere >= 0 && stream < 3; stream++)
            dup2(nowhere, stream);
        if (nowhere > 2)
            close(nowhere);
        return;
    }
    /* Written by the parent: whoever waits for it to end finds the file complete. */
    FILE *file = fopen(pid_path, "w");
    if (!file || fprintf(file, "%ld\n", (long)child) < 0 || fclose(file)) {
        complain("cannot write %s: %m", pid_path);
        kill(child, SIGKILL);
        _exit(EXIT_FAILURE);
    }
    _exit(EXIT_SUCCESS);
}

void wait_for_end(void)
{
    sigset_t ends = hold_ends();
    int signal_number;
    sigwait(&ends, &signal_number);
}
