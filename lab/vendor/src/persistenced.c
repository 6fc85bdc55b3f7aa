/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nvidia-persistenced of the lab: while it runs, the GPUs are in persistence mode.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon.h"
#include "nvml_client.h"

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "-v")) {
            printf("nvidia-persistenced:  version %s\n", DRIVER_VERSION);
            return EXIT_SUCCESS;
        }
    openlog("nvidia-persistenced", LOG_PID, LOG_DAEMON);
    nvmlReturn_t result = nvmlInit_v2();
    if (result != NVML_SUCCESS) {
        complain("Failed to query NVIDIA devices. Please ensure that the NVIDIA device files (/dev/nvidia*) exist, "
                 "and that user 0 has read and write permissions for those files.");
        return EXIT_FAILURE;
    }
    char *pid_path = make_run_file(PERSISTENCED_PID);
    go_to_background(pid_path);
    wait_for_end();
    unlink(pid_path);
    free(pid_path);
    nvmlShutdown();
    return EXIT_SUCCESS;
}
