# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits that hold where a node class sets none, for H100-like nodes, with where each comes from.

The shape is that of a node class's `thresholds`. A limit is reached at its value: 90 with `fail: 90` fails.
"""

from __future__ import annotations

DEFAULTS: dict[str, float | dict[str, float]] = {
    # Azure's health agent: warn 83, error 90; others warn at 75 or 84.
    "gpu_temperature_c": {"warn": 83, "fail": 90},
    # 95 is what the modelled system fails at; 85 leaves time to look before it comes to that.
    "disk_used_percent": {"warn": 85, "fail": 95},
    # TLS and logs bear tenths of a second; beyond one second Kerberos-like protocols and traces break.
    "clock_offset_seconds": {"warn": 0.1, "fail": 1.0},
    # chrony polls every 1024 s at the least, and a source that missed eight polls is unreachable to it. After a day the
    # error that it assumes of a clock left alone (maxclockerror, 1 ppm) comes to about the offset that warns.
    "clock_reference_age_seconds": {"warn": 8192, "fail": 86400},
    # 3 s are chrony's own maxdistance: beyond, it takes no time from a source. 1 s is the offset that fails.
    "clock_root_dispersion_seconds": {"warn": 1, "fail": 3},
    # The kernel keeps 1 to 2 percent of the installed memory for itself; a missing DIMM is 3 percent or more.
    "memory_tolerance_percent": 3,
    # Total since the counter was cleared: one retraining may be a reboot of the switch, ten are a bad cable.
    "hca_link_downed": {"warn": 1, "fail": 10},
    # An XID that a GPU reset cures is history after this time, if there was a reset: it then only warns.
    "xid_window_hours": 24,
}

# NVIDIA's rule for returning a GPU: so many remapped rows are all that a GPU has spare. Like every limit it is reached
# at its value: the next row that fails cannot be remapped, in the middle of a job.
MAX_UNCORRECTABLE_REMAPS = 512

# A failed unit of these is why a job cannot run on the node, so it fails; any other failed unit warns.
ESSENTIAL_UNITS: tuple[str, ...] = (
    "chrony.service",
    "chronyd.service",
    "containerd.service",
    "docker.service",
    "docker.socket",
    "nvidia-fabricmanager.service",
    "nvidia-persistenced.service",
    "openibd.service",
    "ssh.service",
    "sshd.service",
    "*.mount",
)
