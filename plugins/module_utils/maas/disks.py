# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a machine as MAAS knows them, and which of them it will boot. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..storage.description import describe


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
        return describe(self)


def root_disk(devices: Iterable[Mapping[str, Any]]) -> int | None:
    """The id of the disk that, itself or with a partition, MAAS will mount as root; None where it is none of them."""
    for device in devices:
        for part in (device, *(device.get("partitions") or ())):
            if (part.get("filesystem") or {}).get("mount_point") == "/":
                return int(device["id"])
    return None
