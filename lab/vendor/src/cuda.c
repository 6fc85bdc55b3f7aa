/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libcuda.so.1 of the lab: as much of the driver API as shows which GPUs a program can use, and why it cannot.
 */
#include <stdio.h>
#include <string.h>

#include "state.h"

#define API __attribute__((visibility("default")))

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_SYSTEM_NOT_READY = 802,
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
};

static bool initialised;

/* CUDA lists only GPUs that answer. */
static const struct section *usable(const struct state *state, int ordinal)
{
    const struct section *gpu;
    for (int i = 0; (gpu = gpu_at(state, i)); i++)
        if (!gpu_lost(gpu) && ordinal-- == 0)
            return gpu;
    return NULL;
}

static int enter(const char *function, const struct state **state)
{
    *state = state_now();
    int code = *state ? section_injected(&(*state)->system, function) : CUDA_ERROR_NO_DEVICE;
    return code || initialised ? code : CUDA_ERROR_NOT_INITIALIZED;
}

/* A device is its ordinal, as in the real driver. */
static int enter_device(const char *function, int device, const struct section **gpu)
{
    const struct state *state;
    int code = enter(function, &state);
    if (code)
        return code;
    *gpu = device < 0 ? NULL : usable(state, device);
    return *gpu ? section_injected(*gpu, function) : CUDA_ERROR_INVALID_DEVICE;
}

API int cuInit(unsigned flags)
{
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    const struct state *state = state_now();
    int code = state ? section_injected(&state->system, "cuInit") : 0;
    if (code)
        return code;
    const char *driver = driver_loaded(state);
    if (!driver || !usable(state, 0))
        return CUDA_ERROR_NO_DEVICE;
    if (strcmp(driver, DRIVER_VERSION))
        return CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
    const struct section *gpu;
    for (int i = 0; (gpu = usable(state, i)); i++) {
        int fabric = gpu_fabric_state(gpu);
        if (fabric == 1 || fabric == 2) /* the fabric manager has not trained it */
            return CUDA_ERROR_SYSTEM_NOT_READY;
    }
    initialised = true;
    return CUDA_SUCCESS;
}

API int cuDriverGetVersion(int *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

API int cuDeviceGetCount(int *count)
{
    const struct state *state;
    int code = enter("cuDeviceGetCount", &state);
    if (code || !count)
        return code ? code : CUDA_ERROR_INVALID_VALUE;
    for (*count = 0; usable(state, *count); ++*count)
        ;
    return CUDA_SUCCESS;
}

API int cuDeviceGet(int *device, int ordinal)
{
    const struct section *gpu;
    int code = enter_device("cuDeviceGet", ordinal, &gpu);
    if (!code && device)
        *device = ordinal;
    return code;
}

static int device_text(const char *function, const char *key, char *text, int length, int device)
{
    const struct section *gpu;
    int code = enter_device(function, device, &gpu);
    if (code)
        return code;
    const char *found = section_text(gpu, key);
    if (!found || length < 1)
        return CUDA_ERROR_INVALID_VALUE;
    snprintf(text, (size_t)length, "%s", found);
    return CUDA_SUCCESS;
}

API int cuDeviceGetName(char *name, int length, int device)
{
    return device_text("cuDeviceGetName", "name", name, length, device);
}

API int cuDeviceGetPCIBusId(char *bus, int length, int device)
{
    char text[32];
    int code = device_text("cuDeviceGetPCIBusId", "pci", text, sizeof text, device);
    if (!code) /* CUDA writes a domain of four digits */
        snprintf(bus, (size_t)length, "%s", strlen(text) > 12 ? text + strlen(text) - 12 : text);
    return code;
}

API int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    const struct section *gpu;
    unsigned long long total;
    int code = enter_device("cuDeviceTotalMem", device, &gpu);
    if (code)
        return code;
    if (!bytes || !section_number(gpu, "memory_total", &total))
        return CUDA_ERROR_INVALID_VALUE;
    *bytes = (size_t)total;
    return CUDA_SUCCESS;
}

API int cuGetErrorString(int code, const char **text)
{
    static const struct {
        int code;
        const char *text;
    } errors[] = {
        {0, "no error"},
        {1, "invalid argument"},
        {2, "out of memory"},
        {3, "initialization error"},
        {46, "CUDA-capable device(s) is/are busy or unavailable"},
        {100, "no CUDA-capable device is detected"},
        {101, "invalid device ordinal"},
        {214, "uncorrectable ECC error encountered"},
        {220, "uncorrectable NVLink error detected during the execution"},
        {719, "unspecified launch failure"},
        {800, "operation not permitted"},
        {802, "system not yet initialized"},
        {803, "system has unsupported display driver / cuda driver combination"},
        {999, "unknown error"},
    };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code) {
            *text = errors[i].text;
            return CUDA_SUCCESS;
        }
    *text = "unrecognized error code";
    return CUDA_ERROR_INVALID_VALUE;
}
