/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libnvidia-ml.so.1 of the lab: NVLink and the NVSwitch fabric.
 */
#include <string.h>

#include "nvml.h"

enum { MAX_LINKS = 18 };

static nvmlReturn_t link_item(const struct section *gpu, const char *key, unsigned link, unsigned long long *value)
{
    unsigned links;
    if (link >= MAX_LINKS)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (get_uint(gpu, "nvlinks", &links) != NVML_SUCCESS || link >= links)
        return NVML_ERROR_NOT_SUPPORTED;
    return section_item(gpu, key, (int)link, value) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

API nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active)
{
    NEED(active);
    ENTER(nvmlDeviceGetNvLinkState);
    unsigned long long value;
    nvmlReturn_t found = link_item(gpu, "nvlink_state", link, &value);
    if (found == NVML_SUCCESS)
        *active = (unsigned)value;
    return found;
}

/* What every link of the GPU has alike; asked for a link that exists. */
static nvmlReturn_t link_common(const struct section *gpu, const char *key, unsigned link, unsigned *value)
{
    unsigned long long state;
    nvmlReturn_t found = link_item(gpu, "nvlink_state", link, &state);
    return found == NVML_SUCCESS ? get_uint(gpu, key, value) : found;
}

API nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned link, unsigned *version)
{
    NEED(version);
    ENTER(nvmlDeviceGetNvLinkVersion);
    return link_common(gpu, "nvlink_version", link, version);
}

API nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned link, unsigned *type)
{
    NEED(type);
    ENTER(nvmlDeviceGetNvLinkRemoteDeviceType);
    return link_common(gpu, "nvlink_remote_type", link, type);
}

API nvmlReturn_t nvmlDeviceGetNvLinkCapability(nvmlDevice_t device, unsigned link, unsigned capability, unsigned *yes)
{
    enum { SLI_BRIDGE = 4, COUNT = 6 };
    NEED(yes && capability < COUNT);
    ENTER(nvmlDeviceGetNvLinkCapability);
    unsigned long long state;
    nvmlReturn_t found = link_item(gpu, "nvlink_state", link, &state);
    if (found == NVML_SUCCESS)
        *yes = capability != SLI_BRIDGE;
    return found;
}

API nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned link, unsigned counter,
                                                 unsigned long long *count)
{
    /* replay, recovery, CRC of flits, CRC of data; ECC of data is not counted by this generation */
    static const char *const keys[] = {"nvlink_replay", "nvlink_recovery", "nvlink_crc", "nvlink_crc"};
    NEED(count);
    ENTER(nvmlDeviceGetNvLinkErrorCounter);
    return counter < sizeof keys / sizeof *keys ? link_item(gpu, keys[counter], link, count)
                                                : NVML_ERROR_NOT_SUPPORTED;
}

API nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t *info)
{
    NEED(info);
    ENTER(nvmlDeviceGetGpuFabricInfo);
    unsigned status = 0;
    get_uint(gpu, "fabric_status", &status);
    memset(info, 0, sizeof *info);
    info->state = (unsigned char)gpu_fabric_state(gpu);
    info->status = (nvmlReturn_t)status;
    return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *info)
{
    NEED(info);
    unsigned version = info->version >> 24;
    if (version != 2 && version != 3)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    ENTER(nvmlDeviceGetGpuFabricInfoV);
    unsigned status = 0, health = 0;
    get_uint(gpu, "fabric_status", &status);
    get_uint(gpu, "fabric_health", &health);
    memset(info->clusterUuid, 0, sizeof info->clusterUuid);
    info->cliqueId = 0;
    info->state = (unsigned char)gpu_fabric_state(gpu);
    info->status = (nvmlReturn_t)status;
    info->healthMask = health;
    if (version == 3)
        info->healthSummary = 0;
    return NVML_SUCCESS;
}
