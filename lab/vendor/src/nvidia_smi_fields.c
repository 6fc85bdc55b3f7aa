/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nvidia-smi of the lab: what can be asked about a GPU, by the names that --query-gpu knows.
 */
#include "nvidia_smi.h"

#include <stdio.h>
#include <string.h>

#define NUMBER(name, expression)                                            \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        unsigned value = 0;                                                 \
        nvmlReturn_t result = expression;                                   \
        snprintf(text, TEXT, "%u", value);                                  \
        return result;                                                      \
    }
#define WORDS(name, call)                                                   \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        return call(device, text, TEXT);                                    \
    }
#define SWITCH(name, on, off, expression)                                   \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        unsigned value = 0;                                                 \
        nvmlReturn_t result = expression;                                   \
        snprintf(text, TEXT, "%s", value ? on : off);                       \
        return result;                                                      \
    }
#define ECC(name, error, counter)                                           \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        unsigned long long value = 0;                                       \
        nvmlReturn_t result = nvmlDeviceGetTotalEccErrors(device, error, counter, &value); \
        snprintf(text, TEXT, "%llu", value);                                \
        return result;                                                      \
    }
#define MEMORY(name, member)                                                \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        nvmlMemory_v2_t memory = {.version = sizeof memory | 2u << 24};     \
        nvmlReturn_t result = nvmlDeviceGetMemoryInfo_v2(device, &memory);  \
        snprintf(text, TEXT, "%llu", memory.member >> 20);                  \
        return result;                                                      \
    }
#define MILLI(name, call)                                                   \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        unsigned value = 0;                                                 \
        nvmlReturn_t result = call(device, &value);                         \
        snprintf(text, TEXT, "%.2f", value / 1000.0);                       \
        return result;                                                      \
    }
#define REMAPPED(name, format, position)                                    \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        unsigned value[4] = {0};                                            \
        nvmlReturn_t result = nvmlDeviceGetRemappedRows(device, value, value + 1, value + 2, value + 3); \
        format(text, value[position]);                                      \
        return result;                                                      \
    }
#define AS_NUMBER(text, value) snprintf(text, TEXT, "%u", value)
#define AS_ANSWER(text, value) snprintf(text, TEXT, "%s", (value) ? "Yes" : "No")

NUMBER(q_index, nvmlDeviceGetIndex(device, &value))
NUMBER(q_temperature, nvmlDeviceGetTemperature(device, 0, &value))
NUMBER(q_pcie_gen, nvmlDeviceGetCurrPcieLinkGeneration(device, &value))
NUMBER(q_pcie_gen_max, nvmlDeviceGetMaxPcieLinkGeneration(device, &value))
NUMBER(q_pcie_width, nvmlDeviceGetCurrPcieLinkWidth(device, &value))
NUMBER(q_pcie_width_max, nvmlDeviceGetMaxPcieLinkWidth(device, &value))
NUMBER(q_clock_sm, nvmlDeviceGetClockInfo(device, 1, &value))
NUMBER(q_clock_mem, nvmlDeviceGetClockInfo(device, 2, &value))
WORDS(q_name, nvmlDeviceGetName)
WORDS(q_uuid, nvmlDeviceGetUUID)
WORDS(q_serial, nvmlDeviceGetSerial)
WORDS(q_vbios, nvmlDeviceGetVbiosVersion)
WORDS(q_inforom, nvmlDeviceGetInforomImageVersion)
SWITCH(q_persistence, "Enabled", "Disabled", nvmlDeviceGetPersistenceMode(device, &value))
ECC(q_ecc_corrected_volatile, 0, 0)
ECC(q_ecc_uncorrected_volatile, 1, 0)
ECC(q_ecc_corrected_aggregate, 0, 1)
ECC(q_ecc_uncorrected_aggregate, 1, 1)
MEMORY(q_memory_total, total)
MEMORY(q_memory_used, used)
MEMORY(q_memory_free, free)
MILLI(q_power, nvmlDeviceGetPowerUsage)
MILLI(q_power_limit, nvmlDeviceGetPowerManagementLimit)
REMAPPED(q_remapped_correctable, AS_NUMBER, 0)
REMAPPED(q_remapped_uncorrectable, AS_NUMBER, 1)
REMAPPED(q_remapped_pending, AS_ANSWER, 2)
REMAPPED(q_remapped_failure, AS_ANSWER, 3)

static nvmlReturn_t q_count(nvmlDevice_t device, char *text)
{
    (void)device;
    unsigned value = 0;
    nvmlReturn_t result = nvmlDeviceGetCount_v2(&value);
    snprintf(text, TEXT, "%u", value);
    return result;
}

static nvmlReturn_t q_driver(nvmlDevice_t device, char *text)
{
    (void)device;
    return nvmlSystemGetDriverVersion(text, TEXT);
}

static nvmlReturn_t q_bus(nvmlDevice_t device, char *text)
{
    nvmlPciInfo_t pci;
    nvmlReturn_t result = nvmlDeviceGetPciInfo_v3(device, &pci);
    snprintf(text, TEXT, "%s", result == NVML_SUCCESS ? pci.busId : "");
    return result;
}

/* Getters of a mode give the one in force and the one to come. */
#define MODE(name, getter, which)                                           \
    static nvmlReturn_t name(nvmlDevice_t device, char *text)               \
    {                                                                       \
        unsigned current = 0, pending = 0;                                  \
        nvmlReturn_t result = getter(device, &current, &pending);           \
        snprintf(text, TEXT, "%s", which ? "Enabled" : "Disabled");         \
        return result;                                                      \
    }
MODE(q_ecc_mode, nvmlDeviceGetEccMode, current)
MODE(q_ecc_pending, nvmlDeviceGetEccMode, pending)
MODE(q_mig_mode, nvmlDeviceGetMigMode, current)
MODE(q_mig_pending, nvmlDeviceGetMigMode, pending)

static nvmlReturn_t q_pstate(nvmlDevice_t device, char *text)
{
    unsigned value = 0;
    nvmlReturn_t result = nvmlDeviceGetPerformanceState(device, &value);
    snprintf(text, TEXT, "P%u", value);
    return result;
}

static nvmlReturn_t q_utilization(nvmlDevice_t device, char *text)
{
    nvmlUtilization_t value = {0, 0};
    nvmlReturn_t result = nvmlDeviceGetUtilizationRates(device, &value);
    snprintf(text, TEXT, "%u", value.gpu);
    return result;
}

static nvmlReturn_t q_event_reasons(nvmlDevice_t device, char *text)
{
    unsigned long long value = 0;
    nvmlReturn_t result = nvmlDeviceGetCurrentClocksEventReasons(device, &value);
    snprintf(text, TEXT, "0x%016llX", value);
    return result;
}

static nvmlReturn_t fabric(nvmlDevice_t device, nvmlGpuFabricInfoV_t *info)
{
    info->version = sizeof *info | 3u << 24;
    return nvmlDeviceGetGpuFabricInfoV(device, info);
}

static nvmlReturn_t q_fabric_state(nvmlDevice_t device, char *text)
{
    static const char *const states[] = {"N/A", "Not Started", "In Progress", "Completed"};
    nvmlGpuFabricInfoV_t info = {0};
    nvmlReturn_t result = fabric(device, &info);
    snprintf(text, TEXT, "%s", info.state < 4 ? states[info.state] : "Unknown");
    return result;
}

static nvmlReturn_t q_fabric_status(nvmlDevice_t device, char *text)
{
    nvmlGpuFabricInfoV_t info = {0};
    nvmlReturn_t result = fabric(device, &info);
    snprintf(text, TEXT, "%s", info.state == 3 ? nvmlErrorString(info.status) : "N/A");
    return result;
}

static const struct query_field fields[] = {
    {"index", NULL, q_index},
    {"count", NULL, q_count},
    {"name", NULL, q_name},
    {"gpu_name", NULL, q_name},
    {"uuid", NULL, q_uuid},
    {"gpu_uuid", NULL, q_uuid},
    {"serial", NULL, q_serial},
    {"gpu_serial", NULL, q_serial},
    {"pci.bus_id", NULL, q_bus},
    {"gpu_bus_id", NULL, q_bus},
    {"driver_version", NULL, q_driver},
    {"vbios_version", NULL, q_vbios},
    {"inforom.img", NULL, q_inforom},
    {"persistence_mode", NULL, q_persistence},
    {"mig.mode.current", NULL, q_mig_mode},
    {"mig.mode.pending", NULL, q_mig_pending},
    {"ecc.mode.current", NULL, q_ecc_mode},
    {"ecc.mode.pending", NULL, q_ecc_pending},
    {"ecc.errors.corrected.volatile.total", NULL, q_ecc_corrected_volatile},
    {"ecc.errors.uncorrected.volatile.total", NULL, q_ecc_uncorrected_volatile},
    {"ecc.errors.corrected.aggregate.total", NULL, q_ecc_corrected_aggregate},
    {"ecc.errors.uncorrected.aggregate.total", NULL, q_ecc_uncorrected_aggregate},
    {"remapped_rows.correctable", NULL, q_remapped_correctable},
    {"remapped_rows.uncorrectable", NULL, q_remapped_uncorrectable},
    {"remapped_rows.pending", NULL, q_remapped_pending},
    {"remapped_rows.failure", NULL, q_remapped_failure},
    {"temperature.gpu", NULL, q_temperature},
    {"power.draw", "W", q_power},
    {"power.limit", "W", q_power_limit},
    {"pstate", NULL, q_pstate},
    {"clocks.current.sm", "MHz", q_clock_sm},
    {"clocks.sm", "MHz", q_clock_sm},
    {"clocks.current.memory", "MHz", q_clock_mem},
    {"clocks.mem", "MHz", q_clock_mem},
    {"clocks_event_reasons.active", NULL, q_event_reasons},
    {"clocks_throttle_reasons.active", NULL, q_event_reasons},
    {"utilization.gpu", "%", q_utilization},
    {"memory.total", "MiB", q_memory_total},
    {"memory.used", "MiB", q_memory_used},
    {"memory.free", "MiB", q_memory_free},
    {"pcie.link.gen.current", NULL, q_pcie_gen},
    {"pcie.link.gen.max", NULL, q_pcie_gen_max},
    {"pcie.link.width.current", NULL, q_pcie_width},
    {"pcie.link.width.max", NULL, q_pcie_width_max},
    {"fabric.state", NULL, q_fabric_state},
    {"fabric.status", NULL, q_fabric_status},
};

const struct query_field *query_field(const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strcmp(fields[i].name, name))
            return &fields[i];
    return NULL;
}

const char *query(const struct query_field *field, nvmlDevice_t device, char *text)
{
    nvmlReturn_t result = field->read(device, text);
    if (result == NVML_ERROR_NOT_SUPPORTED)
        return "[N/A]";
    if (result == NVML_SUCCESS)
        return text;
    snprintf(text, TEXT, "[%s]", nvmlErrorString(result));
    return text;
}
