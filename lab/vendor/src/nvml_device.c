/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libnvidia-ml.so.1 of the lab: what a GPU is, and how it is doing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nvml.h"

TEXT_GETTER(nvmlDeviceGetName, "name")
TEXT_GETTER(nvmlDeviceGetUUID, "uuid")
TEXT_GETTER(nvmlDeviceGetSerial, "serial")
TEXT_GETTER(nvmlDeviceGetBoardPartNumber, "part_number")
TEXT_GETTER(nvmlDeviceGetVbiosVersion, "vbios")
TEXT_GETTER(nvmlDeviceGetInforomImageVersion, "inforom_image")

UINT_GETTER(nvmlDeviceGetMinorNumber, "minor")
UINT_GETTER(nvmlDeviceGetModuleId, "module_id")
UINT_GETTER(nvmlDeviceGetBrand, "brand")
UINT_GETTER(nvmlDeviceGetArchitecture, "architecture")
UINT_GETTER(nvmlDeviceGetComputeMode, "compute_mode")
UINT_GETTER(nvmlDeviceGetPerformanceState, "pstate")
UINT_GETTER(nvmlDeviceGetPowerState, "pstate")
UINT_GETTER(nvmlDeviceGetPowerUsage, "power_mw")
UINT_GETTER(nvmlDeviceGetPowerManagementLimit, "power_limit_mw")
UINT_GETTER(nvmlDeviceGetEnforcedPowerLimit, "power_limit_mw")
UINT_GETTER(nvmlDeviceGetPowerManagementDefaultLimit, "power_default_mw")
UINT_GETTER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen")
UINT_GETTER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_gen_max")
UINT_GETTER(nvmlDeviceGetGpuMaxPcieLinkGeneration, "pcie_gen_max")
UINT_GETTER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
UINT_GETTER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max")
UINT_GETTER(nvmlDeviceGetPcieReplayCounter, "pcie_replay")

API nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *info)
{
    NEED(info);
    ENTER(nvmlDeviceGetPciInfo);
    const char *bus = section_text(gpu, "pci");
    memset(info, 0, sizeof *info);
    if (!bus || sscanf(bus, "%x:%x:%x", &info->domain, &info->bus, &info->device) != 3)
        return NVML_ERROR_NOT_SUPPORTED;
    snprintf(info->busId, sizeof info->busId, "%08X:%02X:%02X.0", info->domain & 0xffffffffu, info->bus & 0xffu,
             info->device & 0xffu);
    snprintf(info->busIdLegacy, sizeof info->busIdLegacy, "%04X:%02X:%02X.0", info->domain & 0xffffu,
             info->bus & 0xffu, info->device & 0xffu);
    get_uint(gpu, "pci_device_id", &info->pciDeviceId);
    get_uint(gpu, "pci_subsystem_id", &info->pciSubSystemId);
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *info)
{
    return nvmlDeviceGetPciInfo_v3(device, info);
}

API nvmlReturn_t nvmlDeviceGetInforomVersion(nvmlDevice_t device, unsigned object, char *text, unsigned length)
{
    static const char *const keys[] = {"inforom_oem", "inforom_ecc", "inforom_power"};
    NEED(text);
    NEED(object < sizeof keys / sizeof *keys);
    ENTER(nvmlDeviceGetInforomVersion);
    return get_text(section_text(gpu, keys[object]), text, length);
}

API nvmlReturn_t nvmlDeviceValidateInforom(nvmlDevice_t device)
{
    ENTER(nvmlDeviceValidateInforom);
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    NEED(major && minor);
    ENTER(nvmlDeviceGetCudaComputeCapability);
    const char *text = section_text(gpu, "compute_capability");
    return text && sscanf(text, "%d.%d", major, minor) == 2 ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

API nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    NEED(memory);
    ENTER(nvmlDeviceGetMemoryInfo);
    unsigned long long reserved = 0;
    nvmlReturn_t found = get_ulong(gpu, "memory_total", &memory->total);
    if (found == NVML_SUCCESS)
        found = get_ulong(gpu, "memory_used", &memory->used);
    get_ulong(gpu, "memory_reserved", &reserved);
    memory->used += reserved; /* the first version of this call counts what the driver reserves as used */
    memory->free = memory->total - memory->used;
    return found;
}

API nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    NEED(memory);
    if (memory->version >> 24 != 2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    ENTER(nvmlDeviceGetMemoryInfo);
    nvmlReturn_t found = get_ulong(gpu, "memory_total", &memory->total);
    if (found == NVML_SUCCESS)
        found = get_ulong(gpu, "memory_used", &memory->used);
    memory->reserved = 0;
    get_ulong(gpu, "memory_reserved", &memory->reserved);
    memory->free = memory->total - memory->used - memory->reserved;
    return found;
}

API nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory)
{
    NEED(memory);
    ENTER(nvmlDeviceGetBAR1MemoryInfo);
    nvmlReturn_t found = get_ulong(gpu, "bar1_total", &memory->total);
    if (found == NVML_SUCCESS)
        found = get_ulong(gpu, "bar1_used", &memory->used);
    memory->free = memory->total - memory->used;
    return found;
}

API nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor, unsigned *celsius)
{
    NEED(celsius && sensor == 0);
    ENTER(nvmlDeviceGetTemperature);
    return get_uint(gpu, "temperature", celsius);
}

API nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    NEED(temperature);
    if (temperature->version >> 24 != 1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    NEED(temperature->sensorType == 0);
    ENTER(nvmlDeviceGetTemperatureV);
    unsigned celsius;
    nvmlReturn_t found = get_uint(gpu, "temperature", &celsius);
    if (found == NVML_SUCCESS)
        temperature->temperature = (int)celsius;
    return found;
}

API nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, unsigned which, unsigned *celsius)
{
    static const char *const keys[] = {"temperature_shutdown", "temperature_slowdown", "temperature_memory_max",
                                       "temperature_gpu_max"};
    NEED(celsius);
    ENTER(nvmlDeviceGetTemperatureThreshold);
    return which < sizeof keys / sizeof *keys ? get_uint(gpu, keys[which], celsius) : NVML_ERROR_NOT_SUPPORTED;
}

API nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t device, unsigned *mode)
{
    NEED(mode);
    ENTER(nvmlDeviceGetPowerManagementMode);
    unsigned limit;
    nvmlReturn_t found = get_uint(gpu, "power_limit_mw", &limit);
    if (found == NVML_SUCCESS)
        *mode = 1;
    return found;
}

API nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned *low, unsigned *high)
{
    NEED(low && high);
    ENTER(nvmlDeviceGetPowerManagementLimitConstraints);
    nvmlReturn_t found = get_uint(gpu, "power_min_mw", low);
    return found == NVML_SUCCESS ? get_uint(gpu, "power_max_mw", high) : found;
}

API nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules)
{
    NEED(millijoules);
    ENTER(nvmlDeviceGetTotalEnergyConsumption);
    return get_ulong(gpu, "energy_mj", millijoules);
}

/* Clock domains: 0 graphics, 1 SM, 2 memory, 3 video; graphics and SM share a clock. */
static nvmlReturn_t get_clock(const struct section *gpu, const char *key, unsigned domain, unsigned *mhz)
{
    static const int position[] = {0, 0, 1, 2};
    unsigned long long value;
    if (domain >= sizeof position / sizeof *position)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!section_item(gpu, key, position[domain], &value))
        return NVML_ERROR_NOT_SUPPORTED;
    *mhz = (unsigned)value;
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, unsigned domain, unsigned *mhz)
{
    NEED(mhz);
    ENTER(nvmlDeviceGetClockInfo);
    return get_clock(gpu, "clocks_mhz", domain, mhz);
}

API nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, unsigned domain, unsigned *mhz)
{
    NEED(mhz);
    ENTER(nvmlDeviceGetMaxClockInfo);
    return get_clock(gpu, "clocks_max_mhz", domain, mhz);
}

API nvmlReturn_t nvmlDeviceGetApplicationsClock(nvmlDevice_t device, unsigned domain, unsigned *mhz)
{
    NEED(mhz);
    ENTER(nvmlDeviceGetApplicationsClock);
    return get_clock(gpu, "clocks_application_mhz", domain, mhz);
}

/* As delivered, the highest. */
API nvmlReturn_t nvmlDeviceGetDefaultApplicationsClock(nvmlDevice_t device, unsigned domain, unsigned *mhz)
{
    NEED(mhz);
    ENTER(nvmlDeviceGetDefaultApplicationsClock);
    return get_clock(gpu, "clocks_max_mhz", domain, mhz);
}

API nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    NEED(reasons);
    ENTER(nvmlDeviceGetCurrentClocksEventReasons);
    return get_ulong(gpu, "clocks_event_reasons", reasons);
}

API nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    NEED(reasons);
    ENTER(nvmlDeviceGetCurrentClocksThrottleReasons);
    return get_ulong(gpu, "clocks_event_reasons", reasons);
}

API nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    NEED(utilization);
    ENTER(nvmlDeviceGetUtilizationRates);
    nvmlReturn_t found = get_uint(gpu, "utilization_gpu", &utilization->gpu);
    return found == NVML_SUCCESS ? get_uint(gpu, "utilization_memory", &utilization->memory) : found;
}

API nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, unsigned *mode)
{
    NEED(mode);
    ENTER(nvmlDeviceGetPersistenceMode);
    const char *text = section_text(gpu, "persistence");
    if (!text || strcmp(text, "auto"))
        return get_uint(gpu, "persistence", mode);
    *mode = access(run_path(PERSISTENCED_PID), F_OK) == 0;
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
    NEED(current && pending);
    ENTER(nvmlDeviceGetMigMode);
    nvmlReturn_t found = get_uint(gpu, "mig_mode", current);
    *pending = *current;
    get_uint(gpu, "mig_pending", pending);
    return found;
}

API nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *is_mig)
{
    NEED(is_mig);
    ENTER(nvmlDeviceIsMigDeviceHandle);
    *is_mig = 0;
    return NVML_SUCCESS;
}

/* "processes" lists pid and bytes in turn. */
static nvmlReturn_t list_processes(const struct section *gpu, unsigned *count, nvmlProcessInfo_t *list)
{
    unsigned long long pid, bytes;
    unsigned found = 0;
    while (section_item(gpu, "processes", (int)(2 * found), &pid) &&
           section_item(gpu, "processes", (int)(2 * found) + 1, &bytes)) {
        if (list && found < *count)
            list[found] = (nvmlProcessInfo_t){(unsigned)pid, bytes, ~0u, ~0u};
        found++;
    }
    bool fits = found <= *count && (list || !found);
    *count = found;
    return fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

#define PROCESS_LIST(name)                                                                       \
    API nvmlReturn_t name(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *list)         \
    {                                                                                            \
        NEED(count);                                                                             \
        ENTER(name);                                                                             \
        return list_processes(gpu, count, list);                                                 \
    }
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2)
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3)
