# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a machine as MAAS knows them, and which of them is to hold the system. Pure.

The kernel numbers disks anew at every boot; what a disk says of itself stays.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_GB = 10**9  # as data sheets count


@dataclass(frozen=True)
class Disk:
    """One physical disk; `id` is MAAS's, and stays the same as long as the disk's serial does. `size` is in bytes."""

    id: int
    model: str = ""
    serial: str = ""
    size: int = 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Disk:
        """Read one of a machine's `physicalblockdevice_set`."""
        return cls(
            id=int(data["id"]),
            model=str(data.get("model") or "").strip(),
            serial=str(data.get("serial") or "").strip(),
            size=int(data.get("size") or 0),
        )

    def __str__(self) -> str:
        return f"{self.model or 'no model'}, {self.size / _GB:.0f} GB, serial {self.serial or 'unknown'}"


def root_disk(devices: Iterable[Mapping[str, Any]]) -> int | None:
    """The id of the disk that, itself or with a partition, MAAS will mount as root; None where it is none of them."""
    for device in devices:
        for part in (device, *(device.get("partitions") or ())):
            if (part.get("filesystem") or {}).get("mount_point") == "/":
                return int(device["id"])
    return None


@dataclass(frozen=True)
class OsDisk:
    """What the disk of the system is known by; None is anything. In `model` and `serial`, `*` and `?` are wild."""

    model: str | None = None
    serial: str | None = None
    min_gb: float | None = None
    max_gb: float | None = None

    def among(self, disks: Iterable[Disk]) -> Sequence[Disk]:
        """The disks that it describes."""
        return [disk for disk in disks if self._is(disk)]

    def _is(self, disk: Disk) -> bool:
        gigabytes = disk.size / _GB
        return (
            (self.model is None or fnmatch.fnmatchcase(disk.model, self.model))
            and (self.serial is None or fnmatch.fnmatchcase(disk.serial, self.serial))
            and (self.min_gb is None or gigabytes >= self.min_gb)
            and (self.max_gb is None or gigabytes <= self.max_gb)
        )

    def __str__(self) -> str:
        return ", ".join(
            text
            for text, given in (
                (f"model {self.model}", self.model),
                (f"serial {self.serial}", self.serial),
                (f"at least {self.min_gb or 0:g} GB", self.min_gb),
                (f"at most {self.max_gb or 0:g} GB", self.max_gb),
            )
            if given is not None
        )
