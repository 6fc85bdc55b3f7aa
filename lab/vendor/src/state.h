/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The GPUs of a simulated machine, as its state file tells them. The format is described in ../README.md.
 */
#ifndef FIRSTLIGHT_STATE_H
#define FIRSTLIGHT_STATE_H

#include <stdbool.h>

#define MAX_GPUS 64

/* What the daemons leave below /run for the library to see; a reboot clears it, as it clears the driver's memory. */
#define FABRIC_TRAINED "nvidia-fabricmanager/trained"
#define PERSISTENCED_PID "nvidia-persistenced/nvidia-persistenced.pid"

struct entry {
    const char *key, *value; /* value is empty for a key that stands alone */
};

struct section {
    const struct entry *entries;
    int count;
};

struct state {
    struct section system; /* the lines before the first "gpu" */
    struct section gpus[MAX_GPUS];
    int gpu_count;
};

/* The state as the file has it now, read anew when the file was replaced; NULL if there is none: no GPU hardware.
 * A state stays valid for the life of the process, because another thread may still be reading it. */
const struct state *state_now(void);

/* The value of a key, NULL if the section lacks it. */
const char *section_text(const struct section *section, const char *key);
bool section_number(const struct section *section, const char *key, unsigned long long *value);

/* The number at a position of a list such as "1 1 0"; false if the list lacks that position. */
bool section_item(const struct section *section, const char *key, int position, unsigned long long *value);

/* Gives a key of a GPU another number, in the file itself, which is replaced in one step. False if that fails. */
bool state_set(const struct section *gpu, const char *key, unsigned long long value);

/* Whether this process may write the file, as only root may change a GPU. */
bool state_writable(void);

/* What was injected for a function: sleeps if it shall hang, returns the code it shall fail with or 0.
 * The version suffix of a function does not matter. */
int section_injected(const struct section *section, const char *function);

/* Whether the GPU is on the bus and answers. */
bool gpu_present(const struct section *gpu);
bool gpu_lost(const struct section *gpu);

/* The n-th GPU on the bus, NULL if there are fewer. */
const struct section *gpu_at(const struct state *state, int index);
int gpus_on_bus(const struct state *state);

/* The version of the kernel driver that is loaded, NULL if none is: what the state file says, else that of the
 * installed kernel module package. */
const char *driver_loaded(const struct state *state);

/* Where the NVSwitch fabric has got the GPU: 0 not supported, 1 not started, 2 in progress, 3 completed.
 * "auto" in the state file means: completed once the fabric manager has been started since boot. */
int gpu_fabric_state(const struct section *gpu);

/* A path below /run (LAB_RUN_DIR in tests), in a static buffer. */
const char *run_path(const char *name);

#endif
