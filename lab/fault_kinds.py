# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of fault: how each comes into a machine, how it is undone, and the check that must find it."""

from __future__ import annotations

from lab.kinds import (
    boot,
    collective,
    compute,
    container,
    cpu_memory,
    disk,
    ethernet,
    gpu,
    gpu_errors,
    hca,
    host,
    nvlink,
    pcie,
    thermal,
)
from lab.kinds.model import Kind

# By name; in the order in which they are listed.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for area in (
        gpu,
        gpu_errors,
        thermal,
        nvlink,
        pcie,
        hca,
        ethernet,
        disk,
        container,
        host,
        cpu_memory,
        compute,
        collective,
        boot,
    )
    for kind in area.KINDS
}
