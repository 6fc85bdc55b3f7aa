# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is due between the disks of a machine and the volumes of its class, and what is in the way. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from .description import DiskDescription
from .layouts import State, Step, make, names, recognise
from .machine import Device, Machine
from .mounting import former_mounts, judge_filesystem, judge_mount, judge_record
from .wanted import Volume

# Where it is mounted, the system lives on it.
_SYSTEM_POINTS = ("/", "/boot", "/boot/efi", "/usr", "/var")


@dataclass
class Plan:
    """Steps in the order in which they are due; with refusals none of them may be done. `fstab`: its lines."""

    steps: list[Step] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    fstab: list[str] = field(default_factory=list)


def plan(
    machine: Machine, volumes: Sequence[Volume], erase: Collection[str] = (), os_disk: DiskDescription | None = None
) -> Plan:
    """Compare.

    `erase`: serial numbers of disks of which whatever they hold may be destroyed. It opens neither a disk that is in
    use nor one of the system (that `os_disk` describes, or it runs from), and a volume that is whole is left alone.
    """
    found = Plan([*former_mounts(machine, volumes)])
    taken: dict[str, str] = {}
    for volume in volumes:
        state = _choose(machine, volume, os_disk, taken)
        if not state.refusals:
            disks = _described(machine, volume)
            state = _judge(machine, volume, disks, erase)
            mark = None
            if not state.refusals and volume.layout != "zfs":
                mark = judge_filesystem(machine, volume, disks, state)
            judge_record(machine, volume, state)
            entry = judge_mount(machine, volume, state, mark)
            found.fstab += [str(entry)] if entry is not None else []
        found.steps += state.steps
        found.refusals += state.refusals
    return found


def _described(machine: Machine, volume: Volume) -> list[Device]:
    disks = volume.disks.among(machine.disks)
    if volume.link is None:
        return disks
    return [disk for disk in disks if any(fnmatch.fnmatchcase(link, volume.link) for link in disk.links)]


def _choose(machine: Machine, volume: Volume, os_disk: DiskDescription | None, taken: dict[str, str]) -> State:
    """Refuse disks that are too many or too few, the system's, or another volume's."""
    state = State()
    disks = _described(machine, volume)
    if len(disks) != volume.count:
        there = names(disks) or f"none; the machine has {names(machine.disks) or 'no disk'}"
        message = f"{len(disks)} disks are as described ({volume.known_by}), wanted are {volume.count}: {there}"
        state.refuse(volume, message, "correct disks in the node class, or mend the machine")
    system = [] if os_disk is None else os_disk.among(machine.disks)
    for disk in disks:
        points = [point for point in machine.points_of(disk) if point in _SYSTEM_POINTS]
        if disk in system or points:
            why = f"has {', '.join(points)}" if points else "is as hardware.os_disk describes it"
            message = f"{disk} is the system's: it {why}"
            state.refuse(volume, message, "narrow disks in the node class, so that it is not among them")
        elif disk.name in taken:
            message = f"{disk} is as the volume {taken[disk.name]} describes its own, too"
            state.refuse(volume, message, "narrow disks in the node class, so that each is of one volume")
        else:
            taken[disk.name] = volume.name
    return state


def _judge(machine: Machine, volume: Volume, disks: Sequence[Device], erase: Collection[str]) -> State:
    state = recognise(machine, volume, disks)
    full = [disk for disk in disks if not machine.is_bare(disk)]
    named = [disk for disk in full if disk.serial and disk.serial in erase]
    if state is not None and (state.whole or len(named) < len(full)):
        return state
    # Nothing of it is left, or of what is left nobody needs anything.
    state = State()
    for disk in disks:
        use = _use(machine, disk) or (_shared(machine, disk, named) if disk in named else None)
        if use:
            message, remedy = use
            state.refuse(volume, f"{disk} {message}", remedy)
        elif disk in named:
            parts = machine.partitions(disk)
            text = f"erase {_content(machine, disk)} from {disk}, as storage_erase_serials allows"
            paths = [*(part.path for part in parts), disk.stable_path]
            state.steps.append(Step("erase", volume.name, text, {"paths": paths, "serial": disk.serial}))
        elif disk in full:
            allow = "remove it with `wipefs`, as the disk has no serial number to name"
            if disk.serial:
                allow = "name its serial number in storage_erase_serials"
            remedy = f"give the volume other disks; or, if nobody needs what is on it, {allow}"
            state.refuse(volume, f"{disk} holds {_content(machine, disk)}", remedy)
    state.steps += make(volume, disks)
    if volume.layout == "single" and not full:
        state.device = disks[0]
    return state


def _use(machine: Machine, disk: Device) -> tuple[str, str] | None:
    """How a disk that is not yet the volume's is in use, and how to end that."""
    points = machine.points_of(disk)
    if points:
        return f"is in use: mounted at {', '.join(points)}", "unmount it, and take it out of /etc/fstab"
    devices = [disk, *machine.partitions(disk)]
    holders = sorted({holder for device in devices for holder in device.holders})
    if holders:
        # Those of device mapper are known by another name to whoever made them.
        known = [f"{name} ({machine.devices[name].path})" if name in machine.devices else name for name in holders]
        message = f"is in use: held by {', '.join(known)}, and holds {_content(machine, disk)}"
        remedy = "if nobody needs it, `mdadm --stop` or `vgchange --activate n` ends that; then run again"
        return message, remedy
    if disk.claimed:
        return (
            "is in use by another program",
            "see `lsblk`, `zpool list` and what else may hold it open; then run again",
        )
    return None


def _shared(machine: Machine, disk: Device, named: Sequence[Device]) -> tuple[str, str] | None:
    """How a volume group of LVM has the disk together with one that is not given up, such as the system's."""
    groups = {row["pv_name"]: row["vg_name"] for row in machine.physical_volumes if row["vg_name"]}
    own, given_up = (
        {device.path for each in disks for device in (each, *machine.partitions(each))} for disks in ([disk], named)
    )
    for group in sorted({group for path, group in groups.items() if path in own}):
        others = sorted(path for path, its in groups.items() if its == group and path not in own | given_up)
        if others:
            remedy = f"if nothing of the group lies on it, take it out with `vgreduce {group}`; then run again"
            return f"is of the volume group {group}, as is {', '.join(others)}", remedy
    return None


def _content(machine: Machine, disk: Device) -> str:
    marks = [(device, mark) for device in (disk, *machine.partitions(disk)) for mark in device.signatures]
    return (
        ", ".join(str(mark) if device is disk else f"{mark} on {device.name}" for device, mark in marks)
        or "partitions without a mark"
    )
