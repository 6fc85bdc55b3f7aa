/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nvidia-smi of the lab: the table, -L, --query-gpu and --query-compute-apps, as scripts and people use them.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nvidia_smi.h"

enum { MAX_FIELDS = 64, MAX_PROCESSES = 64 };

/* The device of an index, UUID, serial number or bus id; leaves the program as nvidia-smi does if it has none. */
static nvmlDevice_t open_device(const char *which)
{
    nvmlDevice_t device;
    char *end;
    unsigned long index = strtoul(which, &end, 10);
    nvmlReturn_t result;
    if (!strncmp(which, "GPU-", 4))
        result = nvmlDeviceGetHandleByUUID(which, &device);
    else if (strchr(which, ':'))
        result = nvmlDeviceGetHandleByPciBusId_v2(which, &device);
    else if (*end || index > 1000)
        result = nvmlDeviceGetHandleBySerial(which, &device);
    else
        result = nvmlDeviceGetHandleByIndex_v2((unsigned)index, &device);
    if (result == NVML_SUCCESS)
        return device;
    if (result == NVML_ERROR_GPU_IS_LOST)
        printf("Unable to determine the device handle for GPU%s: GPU is lost.  "
               "Reboot the system to recover this GPU\n", which);
    else if (result == NVML_ERROR_NOT_FOUND || result == NVML_ERROR_INVALID_ARGUMENT)
        printf("No devices were found\n");
    else
        printf("Unable to determine the device handle for GPU%s: %s\n", which, nvmlErrorString(result));
    nvmlShutdown();
    exit((int)result == NVML_ERROR_INVALID_ARGUMENT ? NVML_ERROR_NOT_FOUND : (int)result);
}

static void print_query(char *names, const char *format, nvmlDevice_t *devices, int count)
{
    const struct query_field *chosen[MAX_FIELDS];
    int columns = 0;
    char *rest = NULL;
    for (char *name = strtok_r(names, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
        const struct query_field *found = query_field(name);
        if (!found || columns == MAX_FIELDS) {
            printf("Field \"%s\" is not a valid field to query.\n\n", name);
            exit(2);
        }
        chosen[columns++] = found;
    }
    bool units = !strstr(format, "nounits");
    for (int i = 0; i < columns && !strstr(format, "noheader"); i++)
        printf("%s%s%s%s%s", chosen[i]->name, units && chosen[i]->unit ? " [" : "",
               units && chosen[i]->unit ? chosen[i]->unit : "", units && chosen[i]->unit ? "]" : "",
               i + 1 < columns ? ", " : "\n");
    for (int d = 0; d < count; d++)
        for (int i = 0; i < columns; i++) {
            char text[TEXT];
            const char *value = query(chosen[i], devices[d], text);
            bool with_unit = units && chosen[i]->unit && *value != '[';
            printf("%s%s%s%s", value, with_unit ? " " : "", with_unit ? chosen[i]->unit : "",
                   i + 1 < columns ? ", " : "\n");
        }
}

static const char *show(const char *name, nvmlDevice_t device, char *text)
{
    return query(query_field(name), device, text);
}

static void print_compute_apps(const char *names, const char *format, nvmlDevice_t *devices, int count)
{
    if (strcmp(names, "pid")) {
        printf("Field \"%s\" is not a valid field to query.\n\n", names);
        exit(2);
    }
    if (!strstr(format, "noheader"))
        printf("pid\n");
    for (int d = 0; d < count; d++) {
        nvmlProcessInfo_t found[MAX_PROCESSES];
        unsigned processes = MAX_PROCESSES;
        nvmlReturn_t result = nvmlDeviceGetComputeRunningProcesses_v3(devices[d], &processes, found);
        if (result != NVML_SUCCESS) {
            printf("%s\n", nvmlErrorString(result));
            exit((int)result);
        }
        for (unsigned i = 0; i < processes; i++)
            printf("%u\n", found[i].pid);
    }
}

static void print_list(nvmlDevice_t *devices, int count)
{
    for (int i = 0; i < count; i++) {
        char index[TEXT], name[TEXT], uuid[TEXT];
        printf("GPU %s: %s (UUID: %s)\n", show("index", devices[i], index), show("name", devices[i], name),
               show("uuid", devices[i], uuid));
    }
}

static void print_table(nvmlDevice_t *devices, int count)
{
    static const char *const line =
        "+-----------------------------------------+------------------------+----------------------+";
    char driver[TEXT] = "", now[64];
    int cuda = 0;
    time_t seconds = time(NULL);
    strftime(now, sizeof now, "%a %b %e %H:%M:%S %Y", localtime(&seconds));
    nvmlSystemGetDriverVersion(driver, sizeof driver);
    nvmlSystemGetCudaDriverVersion_v2(&cuda);
    printf("%s\n", now);
    printf("+-----------------------------------------------------------------------------------------+\n");
    printf("| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %d.%-5d |\n", driver, driver, cuda / 1000,
           cuda % 1000 / 10);
    printf("|-----------------------------------------+------------------------+----------------------+\n");
    printf("| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n");
    printf("| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n");
    printf("|                                         |                        |               MIG M. |\n");
    printf("|=========================================+========================+======================|\n");
    for (int i = 0; i < count; i++) {
        char t[12][TEXT], memory[64], power[2 * TEXT + 8];
        nvmlDevice_t d = devices[i];
        const char *persistence = strcmp(show("persistence_mode", d, t[2]), "Enabled") ? "Off" : "On";
        printf("| %3s  %-26.26s %7s | %18s Off | %20s |\n", show("index", d, t[0]), show("name", d, t[1]), persistence,
               show("pci.bus_id", d, t[3]), show("ecc.errors.uncorrected.volatile.total", d, t[4]));
        snprintf(power, sizeof power, "%.0fW / %4.0fW", atof(show("power.draw", d, t[5])),
                 atof(show("power.limit", d, t[6])));
        snprintf(memory, sizeof memory, "%.8sMiB / %.8sMiB", show("memory.used", d, t[7]),
                 show("memory.total", d, t[8]));
        printf("| N/A  %3sC    %-3s %22s | %22s | %6s%%      Default |\n", show("temperature.gpu", d, t[9]),
               show("pstate", d, t[10]), power, memory, show("utilization.gpu", d, t[11]));
        printf("|                                         |                        | %20s |\n",
               show("mig.mode.current", d, t[0]));
        printf("%s\n", line);
    }
    printf("\n+-----------------------------------------------------------------------------------------+\n");
    printf("| Processes:                                                                              |\n");
    printf("|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |\n");
    printf("|        ID   ID                                                               Usage      |\n");
    printf("|=========================================================================================|\n");
    printf("|  No running processes found                                                             |\n");
    printf("+-----------------------------------------------------------------------------------------+\n");
}

/* Sets of every GPU what is not -1; the status that the program ends with. */
static int set_modes(nvmlDevice_t *devices, int count, int persistence, double watts)
{
    for (int i = 0; i < count; i++) {
        char bus[TEXT];
        const char *what = "persistence mode";
        nvmlReturn_t result = NVML_SUCCESS;
        show("pci.bus_id", devices[i], bus);
        if (persistence >= 0)
            result = nvmlDeviceSetPersistenceMode(devices[i], (unsigned)persistence);
        if (result == NVML_SUCCESS && watts >= 0) {
            what = "power management limit";
            result = nvmlDeviceSetPowerManagementLimit(devices[i], (unsigned)(watts * 1000));
        }
        if (result != NVML_SUCCESS) {
            printf("Unable to set %s for GPU %s: %s\nTerminating early due to previous errors.\n", what, bus,
                   nvmlErrorString(result));
            return (int)result;
        }
    }
    printf("All done.\n");
    return 0;
}

static void begin(void)
{
    nvmlReturn_t result = nvmlInit_v2();
    if (result == NVML_ERROR_DRIVER_NOT_LOADED)
        printf("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
               "Make sure that the latest NVIDIA driver is installed and running.\n\n");
    else if (result == NVML_ERROR_LIB_RM_VERSION_MISMATCH)
        printf("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: %.7s\n",
               DRIVER_VERSION);
    else if (result != NVML_SUCCESS)
        printf("Failed to initialize NVML: %s\n", nvmlErrorString(result));
    if (result != NVML_SUCCESS)
        exit((int)result);
}

int main(int argc, char **argv)
{
    enum { QUERY = 256, APPS, FORMAT, VERSION, PERSISTENCE, POWER };
    static const struct option options[] = {
        {"query-gpu", required_argument, NULL, QUERY}, {"query-compute-apps", required_argument, NULL, APPS}, {"format", required_argument, NULL, FORMAT},
        {"list-gpus", no_argument, NULL, 'L'},         {"id", required_argument, NULL, 'i'},
        {"version", no_argument, NULL, VERSION},       {"persistence-mode", required_argument, NULL, PERSISTENCE},
        {"power-limit", required_argument, NULL, POWER}, {NULL, 0, NULL, 0},
    };
    char *names = NULL, *apps = NULL, *which = NULL;
    const char *format = "";
    bool list = false;
    int persistence = -1;
    double watts = -1;
    for (int option; (option = getopt_long(argc, argv, "Li:", options, NULL)) != -1;) {
        switch (option) {
        case QUERY:
            names = optarg;
            break;
        case APPS:
            apps = optarg;
            break;
        case FORMAT:
            format = optarg;
            break;
        case 'L':
            list = true;
            break;
        case 'i':
            which = optarg;
            break;
        case PERSISTENCE:
            persistence = atoi(optarg);
            break;
        case POWER:
            watts = atof(optarg);
            break;
        case VERSION:
            printf("NVIDIA-SMI version  : %s\nNVML version        : %.7s\n", DRIVER_VERSION, DRIVER_VERSION);
            return 0;
        default:
            printf("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n");
            return 2;
        }
    }
    if ((names || apps) && strncmp(format, "csv", 3)) {
        printf("\"--format=\" switch is missing. Please run 'nvidia-smi --help-query-gpu' for help.\n\n");
        return 2;
    }
    begin();
    nvmlDevice_t devices[MAX_GPUS];
    unsigned count = 0;
    nvmlReturn_t result = nvmlDeviceGetCount_v2(&count);
    if (result != NVML_SUCCESS || !count) {
        printf("%s\n", result == NVML_SUCCESS ? "No devices were found" : nvmlErrorString(result));
        return result == NVML_SUCCESS ? NVML_ERROR_NOT_FOUND : (int)result;
    }
    if (which) {
        devices[0] = open_device(which);
        count = 1;
    }
    for (unsigned i = 0; i < count && !which; i++) {
        char index[16];
        snprintf(index, sizeof index, "%u", i);
        devices[i] = open_device(index);
    }
    int status = 0;
    if (persistence >= 0 || watts >= 0)
        status = set_modes(devices, (int)count, persistence, watts);
    else if (apps)
        print_compute_apps(apps, format, devices, (int)count);
    else if (names)
        print_query(names, format, devices, (int)count);
    else if (list)
        print_list(devices, (int)count);
    else
        print_table(devices, (int)count);
    nvmlShutdown();
    return status;
}
