# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From disks to the device that the file system lies on: what is there of it, what is due, what is in the way. Pure.

A half of what a killed run was making is completed; nothing that holds anything else is written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .machine import LVM_MEMBER, MD_MEMBER, TABLES, ZFS_MEMBER, Array, Device, Machine, Signature
from .wanted import RAID, Volume

LOGICAL_VOLUME = "data"
_MIB = 1 << 20
# What `zpool import` says of a pool (zpool-import(8), message ZFS-8000-EY): `-f` is for the first alone.
_OF_ANOTHER = "was last accessed by another system"
_IN_USE = "is currently imported by another system"
_AT_WORK = ("clean", "active", "active-idle", "write-pending", "read-auto")


@dataclass(frozen=True)
class Step:
    """One thing to do: `kind` says with what, `text` what it is in words, `arguments` are for the task that does it."""

    kind: str
    volume: str
    text: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class State:
    """How far a volume is.

    `device` holds the file system, or will; None as long as it is not there. `whole` is False where what is there is
    this volume and cannot be used as it is. `uuid` is that of an array.
    """

    steps: list[Step] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    device: Device | None = None
    whole: bool = True
    uuid: str = ""

    def refuse(self, volume: Volume, message: str, remedy: str) -> State:
        """Say why it cannot be, and what to do."""
        self.refusals.append(f"volume {volume.name}: {message}. Remedy: {remedy}.")
        return self


def _broken(volume: Volume, message: str, remedy: str) -> State:
    return State(whole=False).refuse(volume, message, remedy)


def names(disks: Sequence[Device]) -> str:
    """Disks as messages list them."""
    return ", ".join(map(str, disks))


def array_path(volume: Volume) -> str:
    """Where udev shows an array."""
    return f"/dev/md/{volume.name}"


def volume_group(volume: Volume) -> str:
    """The name of its volume group; with a prefix, as /dev/NAME must not be that of anything else."""
    return f"vg_{volume.name}"


def path_to_be(volume: Volume, disks: Sequence[Device]) -> str:
    """Where the device will be that the file system is made on."""
    if volume.layout in RAID:
        return array_path(volume)
    if volume.layout == "lvm":
        return f"/dev/{volume_group(volume)}/{LOGICAL_VOLUME}"
    return disks[0].stable_path


def make(volume: Volume, disks: Sequence[Device]) -> list[Step]:
    """From bare disks to the device of the file system."""
    paths = [disk.stable_path for disk in disks]
    if volume.layout in RAID:
        arguments: dict[str, Any] = {
            "path": array_path(volume),
            "level": volume.layout,
            "name": volume.name,
            "disks": paths,
            "clear": [extent for disk in disks for extent in _ends(disk, max(each.size for each in disks))],
        }
        text = (
            f"make the {volume.layout} array {volume.name} of {names(disks)}, and record it in mdadm.conf and initramfs"
        )
        return [Step("array", volume.name, text, arguments)]
    if volume.layout == "lvm":
        text = f"make the volume group {volume_group(volume)} of {names(disks)}"
        group = Step("volume_group", volume.name, text, {"name": volume_group(volume), "disks": paths})
        return [group, _logical_volume(volume)]
    if volume.layout == "zfs":
        properties = {"mountpoint": volume.mount, **volume.properties}
        arguments = {"name": volume.name, "vdev": volume.vdev, "disks": paths, "properties": properties}
        text = f"make the pool {volume.name} ({volume.vdev}) of {names(disks)}, mounted at {volume.mount}"
        return [Step("pool", volume.name, text, arguments)]
    return []


def _ends(disk: Device, largest: int) -> list[dict[str, Any]]:
    """Where an array begins and ends on the disk, and a file system of an earlier one would show: for `dd`.

    Before the data mdadm leaves 128 MiB and a little, of a small disk one part in 1024; at the end less than a chunk.
    """
    first = min(256, max(8, largest // 512 // _MIB))
    last = 8 * _MIB // 512
    return [
        {"path": disk.stable_path, "block": _MIB, "seek": 0, "count": first},
        {"path": disk.stable_path, "block": 512, "seek": disk.size // 512 - last, "count": last},
    ]


def _logical_volume(volume: Volume) -> Step:
    text = f"make the logical volume {LOGICAL_VOLUME} of all of {volume_group(volume)}"
    arguments = {"group": volume_group(volume), "name": LOGICAL_VOLUME}
    return Step("logical_volume", volume.name, text, arguments)


def recognise(machine: Machine, volume: Volume, disks: Sequence[Device]) -> State | None:
    """The volume on its disks, or what a killed run left of it; None where they hold something else, or nothing."""
    if volume.layout in RAID:
        return _array(machine, volume, disks)
    if volume.layout == "lvm":
        return _lvm(machine, volume, disks)
    if volume.layout == "zfs":
        return _pool(machine, volume, disks)
    return _single(machine, volume, disks[0])


def _sole(machine: Machine, disk: Device, kind: str) -> Signature | None:
    """The mark of the kind, where the disk has no other."""
    if len(disk.signatures) != 1 or disk.signatures[0].type != kind or machine.partitions(disk):
        return None
    return disk.signatures[0]


def _single(machine: Machine, volume: Volume, disk: Device) -> State | None:
    mark = _sole(machine, disk, volume.filesystem)
    return State(device=disk) if mark is not None and mark.label == volume.label else None


def _array(machine: Machine, volume: Volume, disks: Sequence[Device]) -> State | None:
    marks = {disk.name: _sole(machine, disk, MD_MEMBER) for disk in disks}
    # A name is HOST:NAME, of the host that made it; its disks may have come from another.
    ours = {name: mark for name, mark in marks.items() if mark and mark.label.rsplit(":", 1)[-1] == volume.name}
    if not ours:
        return None
    lacking = [disk for disk in disks if disk.name not in ours]
    if lacking or len({mark.uuid for mark in ours.values()}) > 1:
        there = names([disk for disk in disks if disk.name in ours])
        message = f"the array {volume.name} is on {there}, but {names(lacking) or 'not all of these'} is not of it"
        remedy = (
            "where a disk was exchanged, add it to the array with `mdadm --add` if its level has redundancy; otherwise "
            "what it held is lost: name the serial numbers of the others in storage_erase_serials to make it anew"
        )
        return _broken(volume, message, remedy)
    held = {holder for disk in disks for holder in disk.holders}
    uuid = _md_uuid(next(iter(ours.values())).uuid)
    if not held:
        arguments = {"path": array_path(volume), "uuid": uuid, "disks": [disk.stable_path for disk in disks]}
        text = f"start the array {volume.name} of {names(disks)}"
        return State([Step("assemble", volume.name, text, arguments)], uuid=uuid)
    name = min(held)
    array = machine.arrays.get(name)
    if len(held) > 1 or array is None or {*array.members} != {disk.name for disk in disks}:
        members = ", ".join(array.members) if array else "nothing that is known"
        message = f"its disks are held by {', '.join(sorted(held))}, which is of {members}, not of {names(disks)}"
        return _broken(volume, message, "look at `cat /proc/mdstat`; let the node class describe exactly its disks")
    return _judge_array(machine, volume, array, name, uuid)


def _judge_array(machine: Machine, volume: Volume, array: Array, name: str, uuid: str) -> State:
    if array.level != volume.layout or array.disks != volume.count:
        message = f"{name} is {array.level or 'of no level'} over {array.disks} disks, wanted is {volume.layout} over"
        remedy = "a level is not changed here: correct layout in the node class, or save what it holds and remove it"
        return _broken(volume, f"{message} {volume.count}", remedy)
    if array.degraded:
        doing = f", {array.action} under way" if array.action not in ("", "idle") else ""
        remedy = "exchange the disk and add it with `mdadm --add`, or wait for the end of the rebuild; then run again"
        return _broken(volume, f"{name} lacks {array.degraded} of {array.disks} disks{doing}", remedy)
    device = machine.devices.get(name)
    if array.state not in _AT_WORK or device is None:
        remedy = f"look why with `mdadm --detail /dev/{name}`; `mdadm --stop /dev/{name}` lets the next run start it"
        return _broken(volume, f"{name} is {array.state or 'in no state'}", remedy)
    return State(device=device, uuid=uuid)


def _md_uuid(uuid: str) -> str:
    """As mdadm writes it: blkid groups the same digits as those of a file system."""
    digits = uuid.replace("-", "").lower()
    return ":".join(digits[start : start + 8] for start in range(0, len(digits), 8))


def _lvm(machine: Machine, volume: Volume, disks: Sequence[Device]) -> State | None:
    group = volume_group(volume)
    groups = {row["pv_name"]: row["vg_name"] for row in machine.physical_volumes}
    marked = [disk for disk in disks if _sole(machine, disk, LVM_MEMBER)]
    if marked and not machine.lvm:
        # Only its tools know whose they are, and a new system may not have them yet.
        return State([Step("tools", volume.name, f"install the tools of LVM, and look again at {names(marked)}")])
    inside = [disk for disk in marked if groups.get(disk.path) == group]
    orphans = [disk for disk in marked if groups.get(disk.path) == ""]
    if not inside:
        # What a run leaves that is killed between making physical volumes and their group; nothing can lie on them.
        clear = orphans and all(disk in orphans or machine.is_bare(disk) for disk in disks)
        return State(make(volume, disks)) if clear else None
    paths = {disk.path for disk in disks}
    others = sorted(path for path, its in groups.items() if its == group and path not in paths)
    if others or len(inside) < len(disks):
        outside = names([disk for disk in disks if disk not in inside])
        message = f"the volume group {group} is of {names(inside)}"
        message += f" and {', '.join(others)}" if others else ""
        message += f", and not of {outside}" if outside else ""
        remedy = "let the node class describe exactly its disks, or mend it with `vgs -o +pv_name` and `vgreduce`"
        return _broken(volume, message, remedy)
    rows = {row["lv_name"]: row for row in machine.volumes if row["vg_name"] == group}
    strange = sorted({*rows} - {LOGICAL_VOLUME})
    if strange:
        message = f"the volume group {group} holds logical volumes of others: {', '.join(strange)}"
        return _broken(volume, message, "give the volume another name, or save and remove them")
    if LOGICAL_VOLUME not in rows:
        return State([_logical_volume(volume)])
    path = f"/dev/mapper/{group.replace('-', '--')}-{LOGICAL_VOLUME}"
    device = next((each for each in machine.devices.values() if each.path == path), None)
    if device is None or rows[LOGICAL_VOLUME]["lv_active"] != "active":
        text = f"activate the volume group {group} on {names(disks)}"
        return State([Step("activate", volume.name, text, {"name": group})])
    return State(device=device)


def _pool(machine: Machine, volume: Volume, disks: Sequence[Device]) -> State | None:
    inside = [disk for disk in disks if _is_of_pool(machine, disk, volume.name)]
    if not inside:
        return None
    if len(inside) < len(disks):
        outside = names([disk for disk in disks if disk not in inside])
        message = f"the pool {volume.name} is on {names(inside)}, and not on {outside}"
        return _broken(volume, message, "mend it with `zpool replace`, or let the node class describe its disks")
    pool = machine.pools.get(volume.name)
    if pool is None:
        return _import(machine, volume, disks)
    if pool["health"] != "ONLINE":
        remedy = "look at `zpool status`, exchange the disk with `zpool replace`, then run again"
        return _broken(volume, f"the pool {volume.name} is {pool['health']}", remedy)
    if pool["mountpoint"] != volume.mount:
        text = f"mount the pool {volume.name} at {volume.mount} in place of {pool['mountpoint']}"
        return State([Step("pool_mountpoint", volume.name, text, {"name": volume.name, "path": volume.mount})])
    return State()


def _import(machine: Machine, volume: Volume, disks: Sequence[Device]) -> State:
    """By its id, as another may have its name; by force where it is on these disks alone and the class allows it."""
    identity = {mark.uuid for disk in disks for mark in _zfs_marks(machine, disk)}
    own = {each.name for disk in disks for each in (disk, *machine.partitions(disk))}
    others = [
        device
        for device in machine.devices.values()
        if device.name not in own
        and any(mark.type == ZFS_MEMBER and mark.uuid in identity for mark in device.signatures)
    ]
    if len(identity) > 1 or others:
        where = (
            f"{', '.join(device.path for device in others)} is of it, too"
            if others
            else "they are of several of that name"
        )
        message = f"the pool {volume.name} is not on {names(disks)} alone: {where}"
        return _broken(volume, message, "let the node class describe exactly its disks, or look at `zpool import`")
    pool = identity.pop() or volume.name
    known = machine.importable.get(pool, {"state": "ONLINE", "status": ""})
    if _IN_USE in known["status"]:
        remedy = f"export it there with `zpool export {volume.name}`; it is never taken by force"
        return _broken(volume, f"the pool {volume.name} is imported by another system now", remedy)
    force = _OF_ANOTHER in known["status"]
    if force and not volume.take_over:
        message = f"another system used the pool {volume.name} last, if only this machine's before it was deployed anew"
        remedy = "if no other machine can reach its disks, allow it with zfs.take_over in the node class, or once with "
        return _broken(volume, message, f"{remedy}`zpool import -f {pool}`")
    if force and known["state"] != "ONLINE":
        remedy = f"look at `zpool import`; mend it, or import it yourself with `zpool import -f {pool}`"
        return _broken(volume, f"the pool {volume.name} of another system is {known['state']}", remedy)
    text = f"import the pool {volume.name} of {names(disks)}" + (", which another system used last" if force else "")
    return State([Step("import", volume.name, text, {"id": pool, "force": force})])


def _zfs_marks(machine: Machine, disk: Device) -> list[Signature]:
    marks = [mark for device in (disk, *machine.partitions(disk)) for mark in device.signatures]
    return [mark for mark in marks if mark.type == ZFS_MEMBER]


def _is_of_pool(machine: Machine, disk: Device, pool: str) -> bool:
    """ZFS makes partitions of a whole disk that it is given, and marks the first."""
    marks = [mark for device in (disk, *machine.partitions(disk)) for mark in device.signatures]
    others = [mark for mark in marks if mark.type not in (ZFS_MEMBER, *TABLES)]
    return not others and {mark.label for mark in marks if mark.type == ZFS_MEMBER} == {pool}
