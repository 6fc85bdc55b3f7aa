/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nv-fabricmanager of the lab: trains the NVSwitch fabric, and refuses a driver that is not exactly its own.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon.h"
#include "state.h"

enum { MAX_LINE = 512 };

/* The value of a setting such as LOG_FILE_NAME=/var/log/fabricmanager.log; the default if the file has none. */
static void setting(const char *path, const char *name, char *value, size_t length)
{
    char line[MAX_LINE];
    FILE *file = fopen(path, "r");
    if (!file) {
        complain("failed to open fabric manager configuration file %s: %m", path);
        exit(EXIT_FAILURE);
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == '=')
            snprintf(value, length, "%s", line + strlen(name) + 1);
    }
    fclose(file);
}

static void check_driver(const struct state *state)
{
    const char *driver = driver_loaded(state);
    if (!driver) {
        complain("request to query NVSwitch device information from NVSwitch driver failed with error: "
                 "WARNING Nothing to do [NV_WARN_NOTHING_TO_DO]");
        exit(EXIT_FAILURE);
    }
    if (strcmp(driver, DRIVER_VERSION)) {
        complain("fabric manager NVIDIA GPU driver interface version %s don't match with driver version %s. "
                 "Please update with matching NVIDIA driver package.", DRIVER_VERSION, driver);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"version", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};
    const char *config = "/usr/share/nvidia/nvswitch/fabricmanager.cfg";
    for (int option; (option = getopt_long(argc, argv, "c:v", options, NULL)) != -1;) {
        if (option == 'v') {
            printf("Fabric Manager version is : %s\n", DRIVER_VERSION);
            return EXIT_SUCCESS;
        }
        if (option != 'c')
            return EXIT_FAILURE;
        config = optarg;
    }
    openlog("nv-fabricmanager", LOG_PID, LOG_DAEMON);
    char log_path[MAX_LINE] = "/var/log/fabricmanager.log", daemonize[MAX_LINE] = "1";
    setting(config, "LOG_FILE_NAME", log_path, sizeof log_path);
    setting(config, "DAEMONIZE", daemonize, sizeof daemonize);
    unlink(run_path(FABRIC_TRAINED)); /* what an earlier driver had of the fabric is void */
    check_driver(state_now());

    char *trained = make_run_file(FABRIC_TRAINED);
    char *pid_path = make_run_file("nvidia-fabricmanager/nv-fabricmanager.pid");
    if (!strcmp(daemonize, "1"))
        go_to_background(pid_path);
    FILE *log = fopen(log_path, "a");
    if (log) {
        fprintf(log, "Fabric Manager version %s: GPU fabric of %d GPUs configured\n", DRIVER_VERSION,
                gpus_on_bus(state_now()));
        fclose(log);
    }
    syslog(LOG_INFO, "Successfully configured all the available GPUs and NVSwitches to route NVLink traffic.");
    wait_for_end();
    unlink(pid_path); /* the fabric stays trained: it is in the switches */
    free(trained);
    free(pid_path);
    return EXIT_SUCCESS;
}
