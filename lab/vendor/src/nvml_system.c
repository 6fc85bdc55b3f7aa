/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libnvidia-ml.so.1 of the lab: the session, the driver, and the way to a device.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "nvml.h"

/* A handle outlives changes of the state: it stands for a GPU of that UUID, lost if there is none any more. */
struct handle {
    char uuid[80];
};

static struct handle handles[MAX_GPUS];
static int sessions;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static nvmlDevice_t handle_of(const struct section *gpu)
{
    const char *uuid = section_text(gpu, "uuid");
    nvmlDevice_t found = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; uuid && i < MAX_GPUS && !found; i++) {
        if (!handles[i].uuid[0])
            snprintf(handles[i].uuid, sizeof handles[i].uuid, "%s", uuid);
        if (!strcmp(handles[i].uuid, uuid))
            found = &handles[i];
    }
    pthread_mutex_unlock(&lock);
    return found;
}

nvmlReturn_t enter_system(const char *function, const struct state **state)
{
    *state = state_now();
    int code = *state ? section_injected(&(*state)->system, function) : 0;
    if (code)
        return (nvmlReturn_t)code;
    if (!sessions)
        return NVML_ERROR_UNINITIALIZED;
    return *state ? NVML_SUCCESS : NVML_ERROR_DRIVER_NOT_LOADED;
}

nvmlReturn_t enter(const char *function, nvmlDevice_t device, const struct section **gpu)
{
    const struct state *state;
    nvmlReturn_t entered = enter_system(function, &state);
    if (entered != NVML_SUCCESS)
        return entered;
    if (device < handles || device >= handles + MAX_GPUS || !device->uuid[0])
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < state->gpu_count; i++) {
        const char *uuid = section_text(&state->gpus[i], "uuid");
        if (!uuid || strcmp(uuid, device->uuid))
            continue;
        *gpu = &state->gpus[i];
        int code = section_injected(*gpu, function);
        if (code)
            return (nvmlReturn_t)code;
        return gpu_present(*gpu) && !gpu_lost(*gpu) ? NVML_SUCCESS : NVML_ERROR_GPU_IS_LOST;
    }
    return NVML_ERROR_GPU_IS_LOST;
}

nvmlReturn_t get_ulong(const struct section *gpu, const char *key, unsigned long long *value)
{
    return section_number(gpu, key, value) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t get_uint(const struct section *gpu, const char *key, unsigned *value)
{
    unsigned long long number;
    nvmlReturn_t found = get_ulong(gpu, key, &number);
    if (found == NVML_SUCCESS)
        *value = (unsigned)number;
    return found;
}

nvmlReturn_t get_text(const char *found, char *text, unsigned length)
{
    if (!found)
        return NVML_ERROR_NOT_SUPPORTED;
    if (strlen(found) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(text, found);
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    const struct state *state = state_now();
    int code = state ? section_injected(&state->system, "nvmlInit") : 0;
    if (code)
        return (nvmlReturn_t)code;
    const char *driver = driver_loaded(state);
    if (!driver)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (strcmp(driver, DRIVER_VERSION))
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    pthread_mutex_lock(&lock);
    sessions++;
    pthread_mutex_unlock(&lock);
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

API nvmlReturn_t nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

API nvmlReturn_t nvmlShutdown(void)
{
    nvmlReturn_t result = NVML_ERROR_UNINITIALIZED;
    pthread_mutex_lock(&lock);
    if (sessions) {
        sessions--;
        result = NVML_SUCCESS;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

API const char *nvmlErrorString(nvmlReturn_t code)
{
    static const char *const text[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power", "Driver Not Loaded",
        "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found", "Function Not Found",
        "Corrupted infoROM", "GPU is lost", "GPU requires reset", "GPU access blocked by the operating system",
        "Driver/library version mismatch", "In use by another client", "Insufficient Memory", "No data",
        "vGPU is not supported when ECC is enabled", "Insufficient Resources", "Frequency not supported",
        "Argument version mismatch", "The requested functionality has been deprecated", "System is not in ready state",
        "No GPUs found", "Invalid state", "Reset type not supported",
    };
    return (size_t)code < sizeof text / sizeof *text ? text[code] : "Unknown Error";
}

static nvmlReturn_t system_text(const char *function, const char *found, char *text, unsigned length)
{
    NEED(text);
    const struct state *state;
    nvmlReturn_t entered = enter_system(function, &state);
    return entered == NVML_SUCCESS ? get_text(found, text, length) : entered;
}

API nvmlReturn_t nvmlSystemGetDriverVersion(char *text, unsigned length)
{
    return system_text("nvmlSystemGetDriverVersion", DRIVER_VERSION, text, length);
}

API nvmlReturn_t nvmlSystemGetNVMLVersion(char *text, unsigned length)
{
    return system_text("nvmlSystemGetNVMLVersion", "12." DRIVER_VERSION, text, length);
}

API nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    NEED(version);
    const struct state *state;
    nvmlReturn_t entered = enter_system("nvmlSystemGetCudaDriverVersion", &state);
    if (entered == NVML_SUCCESS)
        *version = CUDA_VERSION;
    return entered;
}

API nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

API nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
    NEED(count);
    const struct state *state;
    nvmlReturn_t entered = enter_system("nvmlDeviceGetCount", &state);
    if (entered == NVML_SUCCESS)
        *count = (unsigned)(gpus_on_bus(state) > LOST_GPUS ? gpus_on_bus(state) - LOST_GPUS : 0);
    return entered;
}

API nvmlReturn_t nvmlDeviceGetCount(unsigned *count)
{
    return nvmlDeviceGetCount_v2(count);
}

/* Ends the search for a device: the handle, unless that GPU is lost or something was injected into it. */
static nvmlReturn_t hand_out(const char *function, const struct section *gpu, nvmlDevice_t *device)
{
    nvmlDevice_t handle = handle_of(gpu);
    if (!handle)
        return NVML_ERROR_NOT_FOUND;
    nvmlReturn_t entered = enter(function, handle, &gpu);
    if (entered == NVML_SUCCESS)
        *device = handle;
    return entered;
}

API nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    NEED(device);
    const struct state *state;
    nvmlReturn_t entered = enter_system("nvmlDeviceGetHandleByIndex", &state);
    if (entered != NVML_SUCCESS)
        return entered;
    const struct section *gpu = gpu_at(state, (int)index);
    return gpu ? hand_out("nvmlDeviceGetHandleByIndex", gpu, device) : NVML_ERROR_INVALID_ARGUMENT;
}

API nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

/* Callers write a bus id with a domain of four or eight digits. */
static bool same_bus(const char *left, const char *right)
{
    unsigned a[4], b[4];
    return sscanf(left, "%x:%x:%x.%x", a, a + 1, a + 2, a + 3) == 4 &&
           sscanf(right, "%x:%x:%x.%x", b, b + 1, b + 2, b + 3) == 4 && !memcmp(a, b, sizeof a);
}

static bool same_text(const char *left, const char *right)
{
    return !strcasecmp(left, right);
}

static nvmlReturn_t find(const char *function, const char *key, const char *value,
                         bool (*same)(const char *, const char *), nvmlDevice_t *device)
{
    NEED(value);
    NEED(device);
    const struct state *state;
    nvmlReturn_t entered = enter_system(function, &state);
    if (entered != NVML_SUCCESS)
        return entered;
    const struct section *gpu;
    for (int i = 0; (gpu = gpu_at(state, i)); i++) {
        const char *found = section_text(gpu, key);
        if (found && same(found, value))
            return hand_out(function, gpu, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

API nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    return find("nvmlDeviceGetHandleByUUID", "uuid", uuid, same_text, device);
}

API nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    return find("nvmlDeviceGetHandleBySerial", "serial", serial, same_text, device);
}

API nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus, nvmlDevice_t *device)
{
    return find("nvmlDeviceGetHandleByPciBusId", "pci", bus, same_bus, device);
}

API nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *bus, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByPciBusId_v2(bus, device);
}

API nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
    NEED(index);
    ENTER(nvmlDeviceGetIndex);
    const struct state *state = state_now();
    for (int i = 0; state && i < state->gpu_count; i++)
        if (gpu_at(state, i) == gpu) {
            *index = (unsigned)i;
            return NVML_SUCCESS;
        }
    return NVML_ERROR_GPU_IS_LOST;
}
