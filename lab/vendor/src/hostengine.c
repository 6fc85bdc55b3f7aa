/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nv-hostengine of the lab: DCGM's daemon, of which it has a life and a version.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon.h"

int main(int argc, char **argv)
{
    bool stay = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--version")) {
            printf("Version : %s\n", DCGM_VERSION);
            return EXIT_SUCCESS;
        }
        if (strcmp(argv[i], "-n")) {
            complain("unknown argument: %s", argv[i]);
            return EXIT_FAILURE;
        }
        stay = true;
    }
    openlog("nv-hostengine", LOG_PID, LOG_DAEMON);
    char *pid_path = make_run_file("nvhostengine.pid");
    if (!stay)
        go_to_background(pid_path);
    wait_for_end();
    unlink(pid_path);
    free(pid_path);
    return EXIT_SUCCESS;
}
