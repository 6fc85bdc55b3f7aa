/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libnvidia-ml.so.1 of the lab: the modes that a GPU can be put into. What is set stands in the state file.
 */
#include "nvml_client.h"

/* Begins a call that changes a GPU: the key must be there, and only root may. */
static nvmlReturn_t may_set(const struct section *gpu, const char *key)
{
    if (!section_text(gpu, key))
        return NVML_ERROR_NOT_SUPPORTED;
    return state_writable() ? NVML_SUCCESS : NVML_ERROR_NO_PERMISSION;
}

static nvmlReturn_t set(const struct section *gpu, const char *key, unsigned value)
{
    unsigned found;
    bool is_so = get_uint(gpu, key, &found) == NVML_SUCCESS && found == value;
    return is_so || state_set(gpu, key, value) ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

/* In force after the next start of the machine. */
API nvmlReturn_t nvmlDeviceSetEccMode(nvmlDevice_t device, unsigned mode)
{
    NEED(mode <= 1);
    ENTER(nvmlDeviceSetEccMode);
    nvmlReturn_t allowed = may_set(gpu, "ecc_mode");
    return allowed == NVML_SUCCESS ? set(gpu, "ecc_pending", mode) : allowed;
}

/* In force at once on a GPU that nobody uses; else it is stored, and `activation` says why it waits. */
API nvmlReturn_t nvmlDeviceSetMigMode(nvmlDevice_t device, unsigned mode, nvmlReturn_t *activation)
{
    NEED(mode <= 1 && activation);
    ENTER(nvmlDeviceSetMigMode);
    unsigned long long pid;
    nvmlReturn_t allowed = may_set(gpu, "mig_mode");
    if (allowed != NVML_SUCCESS)
        return allowed;
    *activation = section_item(gpu, "processes", 0, &pid) ? NVML_ERROR_IN_USE : NVML_SUCCESS;
    nvmlReturn_t stored = set(gpu, "mig_pending", mode);
    return stored == NVML_SUCCESS && *activation == NVML_SUCCESS ? set(gpu, "mig_mode", mode) : stored;
}

/* In force at once, and gone with the next start of the machine. */
API nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t device, unsigned mode)
{
    NEED(mode <= 1);
    ENTER(nvmlDeviceSetPersistenceMode);
    unsigned found;
    nvmlReturn_t allowed = may_set(gpu, "persistence");
    /* What the daemon does already stays the daemon's. */
    if (allowed != NVML_SUCCESS || (nvmlDeviceGetPersistenceMode(device, &found) == NVML_SUCCESS && found == mode))
        return allowed;
    return set(gpu, "persistence", mode);
}

/* Likewise. */
API nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t device, unsigned milliwatts)
{
    ENTER(nvmlDeviceSetPowerManagementLimit);
    unsigned low = 0, high = 0;
    nvmlReturn_t allowed = may_set(gpu, "power_limit_mw");
    if (allowed != NVML_SUCCESS)
        return allowed;
    get_uint(gpu, "power_min_mw", &low);
    get_uint(gpu, "power_max_mw", &high);
    NEED(milliwatts >= low && milliwatts <= high);
    return set(gpu, "power_limit_mw", milliwatts);
}
