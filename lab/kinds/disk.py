# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of disks and file systems."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from lab import machine_view
from lab.errors import LabError
from lab.kinds.model import Kind, Target, Values, change_view

_NVME_STATE = "sysfs/class/nvme/nvme0/state"
_SMART: tuple[tuple[str, str, str, dict[str, int]], ...] = (
    ("nvme-unreliable", "disk.nvme.health", "the NVMe disk says that it is not reliable", {"critical_warning": 4}),
    ("nvme-worn", "disk.nvme.wear", "the NVMe disk is worn out", {"percent_used": 103}),
    ("nvme-no-spare", "disk.nvme.spare", "the NVMe disk has no spare blocks left", {"avail_spare": 4}),
    ("nvme-media-errors", "disk.nvme.media_errors", "the NVMe disk has lost data", {"media_errors": 3}),
    ("nvme-hot", "disk.nvme.temperature", "the NVMe disk is too hot", {"temperature": 361}),
)
_DEGRADED = """Personalities : [raid1]
md0 : active raid1 nvme2n1[1](F) nvme1n1[0]
      1874715648 blocks super 1.2 [2/1] [U_]

unused devices: <none>
"""


def _fill_file(target: Target) -> Path:
    return target.lab.directory / "volumes" / target.machine.name / ".filled-by-the-lab"


def _fill_disk(target: Target, values: Values) -> None:
    path = _fill_file(target)
    if not path.parent.is_mount():
        raise LabError(f"{target.machine.name} has no disk yet: deploy it first")
    with path.open("wb") as stream:
        free = os.statvfs(path)
        os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_frsize)


def _free_disk(target: Target, values: Values) -> None:
    _fill_file(target).unlink(missing_ok=True)


def _smart(**values: int) -> Callable[[Target, Values], None]:
    return change_view(machine_view.SMART_LOG, lambda machine, now: machine_view.smart_log(**values))


KINDS: tuple[Kind, ...] = (
    Kind("disk-full", "disk.free", "the local scratch volume /data is full", _fill_disk, _free_disk),
    Kind(
        "nvme-dead",
        "disk.nvme.state",
        "the controller of the NVMe disk has died",
        change_view(_NVME_STATE, lambda machine, now: "dead\n"),
        change_view(_NVME_STATE, lambda machine, now: "live\n"),
    ),
    *(
        Kind(
            name,
            check,
            summary,
            _smart(**values),
            _smart(),
        )
        for name, check, summary, values in _SMART
    ),
    Kind(
        "raid-degraded",
        "disk.raid",
        "an array of two disks has lost one",
        change_view("mdstat", lambda machine, now: _DEGRADED),
        change_view("mdstat", lambda machine, now: machine_view.MDSTAT),
    ),
)
