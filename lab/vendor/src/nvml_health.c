/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libnvidia-ml.so.1 of the lab: memory errors, remapped rows, retired pages, and field values.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "nvml.h"

API nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    NEED(current && pending);
    ENTER(nvmlDeviceGetEccMode);
    nvmlReturn_t found = get_uint(gpu, "ecc_mode", current);
    *pending = *current;
    get_uint(gpu, "ecc_pending", pending);
    return found;
}

API nvmlReturn_t nvmlDeviceGetDefaultEccMode(nvmlDevice_t device, unsigned *mode)
{
    NEED(mode);
    ENTER(nvmlDeviceGetDefaultEccMode);
    return get_uint(gpu, "ecc_mode", mode);
}

nvmlReturn_t get_ecc(const struct section *gpu, unsigned counter, unsigned error, const char *memory,
                     unsigned long long *count)
{
    static const char *const counters[] = {"volatile", "aggregate"}, *const errors[] = {"corrected", "uncorrected"};
    static const char *const memories[] = {"sram", "dram"};
    if (counter > 1 || error > 1)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    for (int i = 0; i < 2; i++) {
        char key[64];
        unsigned long long value;
        if (memory && strcmp(memory, memories[i]))
            continue;
        snprintf(key, sizeof key, "ecc_%s_%s_%s", counters[counter], errors[error], memories[i]);
        if (get_ulong(gpu, key, &value) != NVML_SUCCESS)
            return NVML_ERROR_NOT_SUPPORTED;
        *count += value;
    }
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned error, unsigned counter,
                                             unsigned long long *count)
{
    NEED(count);
    ENTER(nvmlDeviceGetTotalEccErrors);
    return get_ecc(gpu, counter, error, NULL, count);
}

API nvmlReturn_t nvmlDeviceGetDetailedEccErrors(nvmlDevice_t device, unsigned error, unsigned counter,
                                                nvmlEccErrorCounts_t *counts)
{
    NEED(counts);
    ENTER(nvmlDeviceGetDetailedEccErrors);
    memset(counts, 0, sizeof *counts);
    nvmlReturn_t found = get_ecc(gpu, counter, error, "dram", &counts->deviceMemory);
    return found == NVML_SUCCESS ? get_ecc(gpu, counter, error, "sram", &counts->l2Cache) : found;
}

API nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, unsigned error, unsigned counter,
                                                 unsigned location, unsigned long long *count)
{
    enum { DRAM = 2, SRAM = 7 };
    NEED(count);
    ENTER(nvmlDeviceGetMemoryErrorCounter);
    if (location != DRAM && location != SRAM)
        return NVML_ERROR_NOT_SUPPORTED;
    return get_ecc(gpu, counter, error, location == DRAM ? "dram" : "sram", count);
}

/* All uncorrected errors are told as SEC-DED: the state does not have the two kinds apart. */
API nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_v1_t *status)
{
    enum { VOLATILE, AGGREGATE };
    enum { CORRECTED, UNCORRECTED };
    NEED(status);
    if (status->version >> 24 != 1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    ENTER(nvmlDeviceGetSramEccErrorStatus);
    nvmlEccSramErrorStatus_v1_t found = {.version = status->version};
    nvmlReturn_t result = get_uint(gpu, "sram_threshold_exceeded", &found.bThresholdExceeded);
    if (result != NVML_SUCCESS)
        return result;
    get_ecc(gpu, AGGREGATE, UNCORRECTED, "sram", &found.aggregateUncSecDed);
    get_ecc(gpu, AGGREGATE, CORRECTED, "sram", &found.aggregateCor);
    get_ecc(gpu, VOLATILE, UNCORRECTED, "sram", &found.volatileUncSecDed);
    get_ecc(gpu, VOLATILE, CORRECTED, "sram", &found.volatileCor);
    *status = found;
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected, unsigned *uncorrected,
                                           unsigned *pending, unsigned *failed)
{
    NEED(corrected && uncorrected && pending && failed);
    ENTER(nvmlDeviceGetRemappedRows);
    nvmlReturn_t found = get_uint(gpu, "row_remap_correctable", corrected);
    if (found == NVML_SUCCESS)
        found = get_uint(gpu, "row_remap_uncorrectable", uncorrected);
    if (found == NVML_SUCCESS)
        found = get_uint(gpu, "row_remap_pending", pending);
    return found == NVML_SUCCESS ? get_uint(gpu, "row_remap_failure", failed) : found;
}

API nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *values)
{
    NEED(values);
    ENTER(nvmlDeviceGetRowRemapperHistogram);
    unsigned *const banks[] = {&values->max, &values->high, &values->partial, &values->low, &values->none};
    for (int i = 0; i < 5; i++) {
        unsigned long long count;
        if (!section_item(gpu, "row_remap_histogram", i, &count))
            return NVML_ERROR_NOT_SUPPORTED;
        *banks[i] = (unsigned)count;
    }
    return NVML_SUCCESS;
}

/* "retired_sbe" and "retired_dbe" list address and time in turn. Neither pointer is touched when only the count is
 * asked for: nvidia-ml-py then passes none for the times. */
static nvmlReturn_t list_retired(const struct section *gpu, unsigned cause, unsigned *count,
                                 unsigned long long *addresses, unsigned long long *times)
{
    static const char *const keys[] = {"retired_sbe", "retired_dbe"};
    if (cause > 1)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!section_text(gpu, keys[cause]))
        return NVML_ERROR_NOT_SUPPORTED;
    unsigned long long address, when;
    unsigned found = 0;
    for (; section_item(gpu, keys[cause], (int)(2 * found), &address); found++) {
        if (!addresses || found >= *count)
            continue;
        addresses[found] = address;
        if (times)
            times[found] = section_item(gpu, keys[cause], (int)(2 * found) + 1, &when) ? when : 0;
    }
    bool fits = found <= *count && (addresses || !found);
    *count = found;
    return fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

API nvmlReturn_t nvmlDeviceGetRetiredPages(nvmlDevice_t device, unsigned cause, unsigned *count,
                                           unsigned long long *addresses)
{
    NEED(count);
    ENTER(nvmlDeviceGetRetiredPages);
    return list_retired(gpu, cause, count, addresses, NULL);
}

API nvmlReturn_t nvmlDeviceGetRetiredPages_v2(nvmlDevice_t device, unsigned cause, unsigned *count,
                                              unsigned long long *addresses, unsigned long long *times)
{
    NEED(count);
    ENTER(nvmlDeviceGetRetiredPages);
    return list_retired(gpu, cause, count, addresses, times);
}

UINT_GETTER(nvmlDeviceGetRetiredPagesPendingStatus, "retired_pending")

enum { UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3 };

static const struct field {
    unsigned id;
    const char *key;
} fields[] = {
    {1, "ecc_mode"},
    {2, "ecc_pending"},
    {31, "retired_pending"},
    {82, "temperature_memory"},
    {83, "energy_mj"},
    {90, "nvlink_speed_mbps"},
    {91, "nvlinks"},
    {94, "pcie_replay"},
    {142, "row_remap_correctable"},
    {143, "row_remap_uncorrectable"},
    {144, "row_remap_pending"},
    {145, "row_remap_failure"},
    {173, "pcie_correctable_errors"},
    {179, "pcie_non_fatal_errors"},
    {180, "pcie_fatal_errors"},
    {185, "power_mw"},
    {186, "power_mw"},
    {189, "power_default_mw"},
    {190, "power_limit_mw"},
    {192, "power_limit_mw"},
    {230, "recovery_action"},
};

/* Fields of one link; scopeId is the link's number. */
static const struct field link_fields[] = {
    {161, "nvlink_replay"}, {162, "nvlink_recovery"}, {163, "nvlink_crc"}, {165, "nvlink_state"},
};

static nvmlReturn_t sum_of(const struct section *gpu, const char *key, unsigned long long *sum)
{
    unsigned long long value;
    *sum = 0;
    for (int i = 0; section_item(gpu, key, i, &value); i++)
        *sum += value;
    return section_text(gpu, key) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t field_value(const struct section *gpu, const nvmlFieldValue_t *field, unsigned long long *value)
{
    switch (field->fieldId) {
    case 3: /* ECC totals: single and double bit, volatile then aggregate */
    case 4:
    case 5:
    case 6:
        return get_ecc(gpu, (field->fieldId - 3) / 2, (field->fieldId - 3) % 2, NULL, value);
    case 38:
    case 45:
        return sum_of(gpu, "nvlink_crc", value);
    case 52:
        return sum_of(gpu, "nvlink_replay", value);
    case 59:
        return sum_of(gpu, "nvlink_recovery", value);
    case 164: /* speed of the link named by scopeId; all have the same */
        return get_ulong(gpu, "nvlink_speed_mbps", value);
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].id == field->fieldId)
            return get_ulong(gpu, fields[i].key, value);
    for (size_t i = 0; i < sizeof link_fields / sizeof *link_fields; i++)
        if (link_fields[i].id == field->fieldId)
            return section_item(gpu, link_fields[i].key, (int)field->scopeId, value) ? NVML_SUCCESS
                                                                                    : NVML_ERROR_NOT_SUPPORTED;
    return NVML_ERROR_NOT_SUPPORTED;
}

API nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    NEED(values && count > 0);
    ENTER(nvmlDeviceGetFieldValues);
    for (int i = 0; i < count; i++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        values[i].timestamp = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        values[i].latencyUsec = 0;
        values[i].value.ullVal = 0;
        values[i].nvmlReturn = field_value(gpu, &values[i], &values[i].value.ullVal);
        values[i].valueType = values[i].value.ullVal > 0xffffffffULL ? UNSIGNED_LONG_LONG : UNSIGNED_INT;
    }
    return NVML_SUCCESS;
}
