# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the data disks of a node should become, and what of that cannot be. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .description import DiskDescription

DOCKER = "docker.service"
RAID = ("raid0", "raid1", "raid5", "raid10")
# Layout to the least number of disks.
LEAST = {"single": 1, "raid0": 2, "raid1": 2, "raid5": 3, "raid10": 2, "lvm": 1, "zfs": 1}
# As mkfs of each takes it.
LABEL_LENGTH = {"ext4": 16, "xfs": 12}
# Pools that `zpool create` refuses: zpool-create(8), and names such as illumos gives disks (zfs_namecheck.c).
_NO_POOL = re.compile("(mirror|raidz|draid|spare).*|log|c[0-9].*")
# Mounting over one of these would hide the system from itself.
_SYSTEM = ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var")


@dataclass(frozen=True)
class Volume:
    """Some disks of one kind, what is built of them, and where it is mounted.

    `disks` and `link` say which disks: what they are known by, and a name in /dev/disk/by-id in which `*` and `?` are
    wild. `required_by` are units of systemd that must not start without it.
    """

    name: str
    disks: DiskDescription
    count: int
    layout: str
    mount: str
    link: str | None = None
    filesystem: str = ""
    label: str = ""
    options: Sequence[str] = ()
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"
    required_by: Sequence[str] = ()
    vdev: str = "stripe"
    take_over: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Volume:
        """Of a node class or of the options of a module; what is None there is as if it were not given."""
        given = {key: value for key, value in data.items() if value is not None}
        disks, zfs = given["disks"], given.get("zfs") or {}
        size = disks.get("size_gb") or {}
        return cls(
            name=given["name"],
            disks=DiskDescription(disks.get("model"), disks.get("serial"), size.get("min"), size.get("max")),
            link=disks.get("id"),
            count=disks["count"],
            layout=given["layout"],
            mount=given["mount"],
            filesystem=given.get("filesystem") or "",
            label=given.get("label") or given["name"],
            options=tuple(given.get("options") or ()),
            owner=given.get("owner", "root"),
            group=given.get("group", "root"),
            mode=given.get("mode", "0755"),
            required_by=tuple(given.get("required_by") or ()),
            vdev=zfs.get("vdev") or "stripe",
            take_over=bool(zfs.get("take_over")),
            properties={key: str(value) for key, value in (zfs.get("properties") or {}).items()},
        )

    @property
    def known_by(self) -> str:
        """What its disks are known by, in words."""
        return ", ".join(part for part in (str(self.disks), f"id {self.link}" if self.link else "") if part)

    def holds(self, path: str) -> bool:
        """Whether `path` is its mount point, or lies below."""
        way = PurePosixPath(path)
        return way.is_relative_to(self.mount) and ".." not in way.parts


@dataclass(frozen=True)
class Fault:
    """Something that cannot be. `volume` is its position in the list, None for what concerns no single one."""

    volume: int | None
    key: str
    message: str
    remedy: str


def faults(volumes: Sequence[Volume], docker_data_root: str | None = None) -> Iterator[Fault]:
    """What a schema cannot say of a list of volumes, and of the folder that the class gives Docker."""
    for position, volume in enumerate(volumes):
        yield from (Fault(position, *fault) for fault in _faults_of(volume))
    for key in ("name", "mount"):
        for value, times in Counter(getattr(volume, key) for volume in volumes).items():
            if times > 1:
                last = max(at for at, volume in enumerate(volumes) if getattr(volume, key) == value)
                yield Fault(last, key, f"is {value}, as is that of another volume", f"give each its own {key}")
    for position, volume in enumerate(volumes):
        for other in volumes:
            if other.mount != volume.mount and other.holds(volume.mount):
                message = f"is {volume.mount}, below {other.mount} of the volume {other.name}"
                yield Fault(
                    position, "mount", message, "mount each beside the others: one would hide what is in the other"
                )
    if docker_data_root is not None and owner_of(docker_data_root, volumes) is None:
        message = f"is {docker_data_root}, which lies on none of the volumes"
        yield Fault(None, "docker_data_root", message, "choose a folder below the mount of one, or leave it out")


def _faults_of(volume: Volume) -> Iterator[tuple[str, str, str]]:
    least = LEAST[volume.layout]
    if volume.count < least or (volume.layout == "single" and volume.count > 1):
        wanted = "takes one disk" if volume.layout == "single" else f"needs {least} disks at least"
        message = f"are {volume.count}, but {volume.layout} {wanted}"
        yield "disks", message, "correct disks.count or layout"
    if not volume.known_by:
        yield "disks", "describe no disk", "say what they are known by: model, serial, id or size_gb"
    least_gb, most_gb = volume.disks.min_gb, volume.disks.max_gb
    if least_gb is not None and most_gb is not None and least_gb > most_gb:
        message = f"have a min of {least_gb:g} and a max of {most_gb:g} GB: no disk is so"
        yield "disks", message, "make min the smaller of the two"
    if volume.layout == "zfs" and _NO_POOL.fullmatch(volume.name):
        message = f"is {volume.name}, which ZFS keeps for itself and takes for no pool"
        yield (
            "name",
            message,
            "choose one that is not log and does not begin with mirror, raidz, draid, spare or c0 to c9",
        )
    if volume.layout == "zfs" and volume.filesystem:
        yield "filesystem", "is given, but ZFS brings its own", "take it out"
    if volume.layout != "zfs" and (volume.vdev != "stripe" or volume.properties or volume.take_over):
        yield "zfs", f"is given, but the layout is {volume.layout}", "take it out, or choose the layout zfs"
    if volume.layout == "zfs" and volume.options:
        yield "options", "are given, but ZFS has properties in their place", "use zfs.properties"
    if volume.layout != "zfs" and not volume.filesystem:
        yield "filesystem", "is missing", f"choose one of {', '.join(LABEL_LENGTH)}"
    if len(volume.label) > LABEL_LENGTH.get(volume.filesystem, len(volume.label)):
        most = LABEL_LENGTH[volume.filesystem]
        yield "label", f"is {volume.label!r}, but {volume.filesystem} takes {most} characters", "shorten it"
    path = PurePosixPath(volume.mount)
    if str(path) != volume.mount or ".." in path.parts or volume.mount in _SYSTEM:
        message = f"is {volume.mount}, which the system needs for itself or is no plain path"
        yield "mount", message, "choose a path such as /scratch, without a / at its end"


def owner_of(path: str, volumes: Iterable[Volume]) -> Volume | None:
    """The volume that `path` lies on: of several the one whose mount point is the longest."""
    return max((volume for volume in volumes if volume.holds(path)), key=lambda volume: len(volume.mount), default=None)


def units(volumes: Sequence[Volume], docker_data_root: str) -> dict[str, list[str]]:
    """Units of systemd that must not start without their mounts: those that volumes name, and Docker."""
    found: dict[str, list[str]] = {}
    home = owner_of(docker_data_root, volumes)
    for volume in volumes:
        for unit in (*volume.required_by, *([DOCKER] if volume is home else [])):
            if volume.mount not in found.setdefault(unit, []):
                found[unit].append(volume.mount)
    return found
