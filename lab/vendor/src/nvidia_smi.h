/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nvidia-smi of the lab: what can be asked about a GPU.
 */
#ifndef FIRSTLIGHT_NVIDIA_SMI_H
#define FIRSTLIGHT_NVIDIA_SMI_H

#include "nvml_client.h"

enum { TEXT = 128 };

struct query_field {
    const char *name, *unit; /* unit is NULL for a bare value */
    nvmlReturn_t (*read)(nvmlDevice_t device, char *text);
};

/* The field of a name, NULL if there is none. */
const struct query_field *query_field(const char *name);

/* The value without its unit, in text (TEXT bytes); what cannot be told is in brackets. */
const char *query(const struct query_field *field, nvmlDevice_t device, char *text);

#endif
