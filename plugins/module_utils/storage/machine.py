# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's block devices as they were read, with names for what is asked of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .description import describe

# Marks of a table of partitions; what lies in the partitions has marks of its own.
TABLES = ("gpt", "PMBR", "dos")
MD_MEMBER = "linux_raid_member"
LVM_MEMBER = "LVM2_member"
ZFS_MEMBER = "zfs_member"


@dataclass(frozen=True)
class Signature:
    """What a device says that it holds."""

    type: str
    uuid: str = ""
    label: str = ""

    def __str__(self) -> str:
        return f"{self.type} '{self.label}'" if self.label else self.type


@dataclass(frozen=True)
class Device:
    """A disk, a partition, an array or a logical volume. `size` is in bytes, `number` the kernel's major:minor."""

    name: str
    path: str
    type: str
    size: int = 0
    model: str = ""
    serial: str = ""
    number: str = ""
    mounted: Sequence[str] = ()
    parents: Sequence[str] = ()
    holders: Sequence[str] = ()
    links: Sequence[str] = ()
    physical: bool = False
    claimed: bool = False
    signatures: Sequence[Signature] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Device:
        """One of `devices` of an observation."""
        return cls(**{**data, "signatures": tuple(Signature(**each) for each in data["signatures"])})

    @property
    def stable_path(self) -> str:
        """The path by which to write: a name that is the disk's own, where udev made one."""
        named = [link for link in self.links if self.serial and self.serial in link]
        link = min(named or self.links, key=lambda link: (len(link), link), default="")
        return f"/dev/disk/by-id/{link}" if link else self.path

    def __str__(self) -> str:
        return f"{self.name} ({describe(self)})"


@dataclass(frozen=True)
class Array:
    """An array of md. `degraded` is how many disks it lacks."""

    level: str
    disks: int
    degraded: int
    state: str
    action: str
    members: Sequence[str]


@dataclass(frozen=True)
class Mount:
    """A mount as the kernel lists it; `root` is what of the file system is seen there."""

    point: str
    number: str
    root: str
    type: str
    source: str
    options: Sequence[str]


@dataclass(frozen=True)
class Machine:
    """Everything that was read of one machine."""

    devices: Mapping[str, Device]
    arrays: Mapping[str, Array] = field(default_factory=dict)
    lvm: bool = True
    physical_volumes: Sequence[Mapping[str, str]] = ()
    volumes: Sequence[Mapping[str, str]] = ()
    pools: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    importable: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fstab: str = ""
    noted: str = ""
    mdadm_conf: str = ""
    initramfs: Mapping[str, bool] = field(default_factory=dict)
    dependent_units: Sequence[str] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """Of what observe/block_devices.py returns."""
        return cls(
            **{
                **data,
                "devices": {each["name"]: Device.from_dict(each) for each in data["devices"]},
                "arrays": {name: Array(**each) for name, each in data["arrays"].items()},
                "mounts": [Mount(**each) for each in data["mounts"]],
            }
        )

    @property
    def disks(self) -> list[Device]:
        """Those that are built in."""
        return [device for device in self.devices.values() if device.physical and device.size]

    def above(self, device: Device) -> list[Device]:
        """What is built of the device, at any height: partitions, arrays, logical volumes."""
        found: dict[str, Device] = {}
        waiting = [device.name]
        while waiting:
            name = waiting.pop()
            for each in self.devices.values():
                if name in each.parents and each.name not in found:
                    found[each.name] = each
                    waiting.append(each.name)
        return list(found.values())

    def partitions(self, disk: Device) -> list[Device]:
        """Its partitions."""
        return [each for each in self.devices.values() if each.type == "part" and disk.name in each.parents]

    def mounted_at(self, point: str) -> Mount | None:
        """What is seen at the place."""
        return next((mount for mount in reversed(self.mounts) if mount.point == point), None)

    def points_of(self, disk: Device) -> list[str]:
        """Where the disk, or what is built of it, is mounted; swap is listed as [SWAP]."""
        return sorted({point for device in (disk, *self.above(disk)) for point in device.mounted})

    def is_bare(self, disk: Device) -> bool:
        """Whether nothing is on it."""
        return not disk.signatures and not self.above(disk) and not disk.holders
