# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks a node class means: by what a disk says of itself, never by its name. Pure.

The kernel numbers disks anew at every boot; model, serial number and size stay.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

GB = 10**9  # as data sheets count


class Known(Protocol):
    """A disk, of whoever lists it. `size` is in bytes."""

    @property
    def model(self) -> str: ...

    @property
    def serial(self) -> str: ...

    @property
    def size(self) -> int: ...


_Disk = TypeVar("_Disk", bound=Known)


def describe(disk: Known) -> str:
    """A disk as messages name it."""
    return f"{disk.model or 'no model'}, {disk.size / GB:.0f} GB, serial {disk.serial or 'unknown'}"


@dataclass(frozen=True)
class DiskDescription:
    """What a disk is known by; None is anything. In `model` and `serial`, `*` and `?` are wild."""

    model: str | None = None
    serial: str | None = None
    min_gb: float | None = None
    max_gb: float | None = None

    def among(self, disks: Iterable[_Disk]) -> list[_Disk]:
        """The disks that it describes."""
        return [disk for disk in disks if self._is(disk)]

    def _is(self, disk: Known) -> bool:
        gigabytes = disk.size / GB
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
