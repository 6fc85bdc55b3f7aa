/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The part of NVML's interface that the lab's libnvidia-ml.so.1 has. Layouts are those that nvidia-ml-py uses.
 * A function that is missing here is NVML_ERROR_FUNCTION_NOT_FOUND to a caller, as with an older driver.
 */
#ifndef FIRSTLIGHT_NVML_H
#define FIRSTLIGHT_NVML_H

#include "state.h"

#define API __attribute__((visibility("default")))

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_IN_USE = 19,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_NOT_READY = 27,
    NVML_ERROR_UNKNOWN = 999,
} nvmlReturn_t;

typedef struct handle *nvmlDevice_t;

typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

typedef struct {
    unsigned long long total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

typedef struct {
    unsigned long long total, free, used;
} nvmlBAR1Memory_t;

typedef struct {
    unsigned gpu, memory;
} nvmlUtilization_t;

typedef struct {
    unsigned version, sensorType;
    int temperature;
} nvmlTemperature_t;

typedef struct {
    unsigned long long l1Cache, l2Cache, deviceMemory, registerFile;
} nvmlEccErrorCounts_t;

typedef struct {
    unsigned version;
    unsigned long long aggregateUncParity, aggregateUncSecDed, aggregateCor;
    unsigned long long volatileUncParity, volatileUncSecDed, volatileCor;
    unsigned long long aggregateUncBucketL2, aggregateUncBucketSm, aggregateUncBucketPcie, aggregateUncBucketMcu,
        aggregateUncBucketOther;
    unsigned bThresholdExceeded;
} nvmlEccSramErrorStatus_v1_t;

typedef struct {
    unsigned max, high, partial, low, none;
} nvmlRowRemapperHistogramValues_t;

typedef struct {
    unsigned pid;
    unsigned long long usedGpuMemory;
    unsigned gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

typedef struct {
    unsigned char clusterUuid[16];
    nvmlReturn_t status;
    unsigned cliqueId;
    unsigned char state;
} nvmlGpuFabricInfo_t;

typedef struct {
    unsigned version;
    unsigned char clusterUuid[16];
    nvmlReturn_t status;
    unsigned cliqueId;
    unsigned char state;
    unsigned healthMask;
    unsigned char healthSummary; /* from version 3 on */
} nvmlGpuFabricInfoV_t;

typedef union {
    double dVal;
    unsigned uiVal;
    unsigned long ulVal;
    unsigned long long ullVal;
    long long sllVal;
    int siVal;
} nvmlValue_t;

typedef struct {
    unsigned fieldId, scopeId;
    long long timestamp, latencyUsec;
    unsigned valueType;
    nvmlReturn_t nvmlReturn;
    nvmlValue_t value;
} nvmlFieldValue_t;

/* Begins a call on a device: applies what was injected, finds the GPU. Anything but success is the call's result. */
nvmlReturn_t enter(const char *function, nvmlDevice_t device, const struct section **gpu);
/* Begins a call that names no device. */
nvmlReturn_t enter_system(const char *function, const struct state **state);

/* A key that the GPU's state lacks reads as not supported by the device. */
nvmlReturn_t get_uint(const struct section *gpu, const char *key, unsigned *value);
nvmlReturn_t get_ulong(const struct section *gpu, const char *key, unsigned long long *value);
nvmlReturn_t get_text(const char *found, char *text, unsigned length);

/* Errors that ECC has counted: counter is "volatile" or "aggregate", error "corrected" or "uncorrected",
 * memory "sram", "dram" or NULL for both. */
nvmlReturn_t get_ecc(const struct section *gpu, unsigned counter, unsigned error, const char *memory,
                     unsigned long long *count);

#define ENTER(name)                                             \
    const struct section *gpu;                                  \
    nvmlReturn_t entered = enter(#name, device, &gpu);          \
    if (entered != NVML_SUCCESS)                                \
        return entered
#define NEED(pointer)                                           \
    if (!(pointer))                                             \
        return NVML_ERROR_INVALID_ARGUMENT
#define UINT_GETTER(name, key)                                  \
    API nvmlReturn_t name(nvmlDevice_t device, unsigned *value) \
    {                                                           \
        NEED(value);                                            \
        ENTER(name);                                            \
        return get_uint(gpu, key, value);                       \
    }
#define TEXT_GETTER(name, key)                                                     \
    API nvmlReturn_t name(nvmlDevice_t device, char *text, unsigned length)        \
    {                                                                              \
        NEED(text);                                                                \
        ENTER(name);                                                               \
        return get_text(section_text(gpu, key), text, length);                     \
    }

#endif
