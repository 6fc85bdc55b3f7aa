# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The areas of node_health's checks. Each has a file in `health` with its `CHECKS` and their `THRESHOLDS`."""

from __future__ import annotations

from types import ModuleType

from .health import (
    agent,
    container,
    cpu_memory,
    disk,
    ethernet,
    gpu,
    gpu_errors,
    hca,
    host,
    kernel_log,
    nvlink,
    optics,
    pcie,
    thermal,
)

# In the order in which a person wants to read them.
AREAS: tuple[ModuleType, ...] = (
    host,
    gpu,
    gpu_errors,
    thermal,
    nvlink,
    pcie,
    hca,
    optics,
    ethernet,
    disk,
    container,
    cpu_memory,
    kernel_log,
    agent,
)
