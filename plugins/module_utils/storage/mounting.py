# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the device of a volume to its mount: file system, fstab, mount, owner, and the record of its array. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .layouts import State, Step, array_path, path_to_be
from .machine import Device, Machine, Mount, Signature
from .wanted import RAID, Volume

_OCTAL = re.compile(r"\\([0-7]{3})")
# Options that the kernel shows as they were given.
_SHOWN = ("ro", "noatime", "nodiratime", "nodev", "noexec", "nosuid")
# Whether fsck looks at the file system at boot, after the root: that of XFS does nothing.
_PASS = {"ext4": "2", "xfs": "0"}
# Steps after which shows what a device holds.
_OPENING = ("tools", "assemble", "activate")
_NEW = {"owner": "root", "group": "root", "mode": "0755"}


@dataclass(frozen=True)
class Entry:
    """A line of fstab."""

    source: str
    point: str
    type: str
    options: str = "defaults"
    dump: str = "0"
    number: str = "0"

    def __str__(self) -> str:
        return " ".join((self.source, self.point, self.type, self.options, self.dump, self.number))


def parse_fstab(text: str) -> Iterator[Entry]:
    """Its entries; lines that mount would not understand are passed over, as mount does."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 3 and not fields[0].startswith("#"):
            yield Entry(*(_OCTAL.sub(lambda match: chr(int(match[1], 8)), field) for field in fields[:6]))


def entry_of(volume: Volume, uuid: str) -> Entry:
    """By UUID: a label may come a second time, with a disk from another node. A boot does not wait for it in vain."""
    options = [*(volume.options or ["defaults"])]
    options += [] if "nofail" in options else ["nofail"]
    kind = volume.filesystem
    return Entry(f"UUID={uuid}", volume.mount, kind, ",".join(options), "0", _PASS[kind])


def judge_filesystem(machine: Machine, volume: Volume, disks: Sequence[Device], state: State) -> Signature | None:
    """Add to `state` what is due or in the way on its device; the file system's mark where it is there."""
    device = state.device
    marks = [] if device is None else list(device.signatures)
    if device is not None and (len(marks) > 1 or machine.partitions(device)):
        found = ", ".join(map(str, marks)) or "partitions"
        remedy = "save what is on it and remove it with `wipefs`, or correct the node class"
        state.refuse(volume, f"on {device.path} is {found}, wanted is {volume.filesystem} alone", remedy)
    elif device is None and any(step.kind in _OPENING for step in state.steps):
        # What is on it shows once it is started.
        return None
    elif not marks:
        path = device.path if device is not None else path_to_be(volume, disks)
        text = f"make the file system {volume.filesystem} '{volume.label}' on {path}"
        arguments = {"path": path, "type": volume.filesystem, "options": f"-L {volume.label}"}
        state.steps.append(Step("filesystem", volume.name, text, arguments))
    elif (marks[0].type, marks[0].label) != (volume.filesystem, volume.label):
        path = device.path if device is not None else ""
        message = f"on {path} is {marks[0]}, wanted is {volume.filesystem} '{volume.label}'"
        remedy = "correct filesystem and label in the node class; or save what is on it and remove it with `wipefs`"
        state.refuse(volume, message, remedy)
    else:
        return marks[0]
    return None


def judge_mount(machine: Machine, volume: Volume, state: State, mark: Signature | None) -> Entry | None:
    """Add to `state` what is due or in the way of the mount; the line that fstab must have where it is known."""
    mount, device = machine.mounted_at(volume.mount), state.device
    if mount is not None and not _is_mount_of(mount, volume, device):
        message = f"at {volume.mount} is mounted {mount.source} ({mount.type})"
        state.refuse(volume, message, "unmount it, or give the volume another mount")
        return None
    elsewhere = [] if device is None or mount is not None else list(device.mounted)
    if elsewhere:
        state.refuse(volume, f"it is mounted at {', '.join(elsewhere)}, wanted is {volume.mount}", "unmount it there")
    if mount is None:
        _refuse_hiding(machine, volume, state)
    if volume.layout == "zfs":
        if mount is None:
            text = f"mount the pool {volume.name} at {volume.mount}"
            state.steps.append(Step("pool_mount", volume.name, text, {"name": volume.name}))
        _judge_attributes(machine, volume, state, mount)
        return None
    entry = entry_of(volume, mark.uuid) if mark is not None else None
    fstab = list(parse_fstab(machine.fstab))
    at_point = [each for each in fstab if each.point == volume.mount]
    _refuse_others(machine, volume, state, entry, fstab)
    why = [] if mount is not None else ["is not mounted"]
    if entry is None or at_point != [entry]:
        why.append("has another line in fstab" if at_point else "is not in fstab")
    if why:
        line = entry or entry_of(volume, "…")
        text = f"mount the volume {volume.name} at {volume.mount} by the line `{line}` of fstab: it {' and '.join(why)}"
        arguments = {} if entry is None else {**vars(entry)}
        state.steps.append(Step("mount", volume.name, text, arguments))
    lacking = [each for each in volume.options if each in _SHOWN and mount is not None and each not in mount.options]
    if lacking:
        text = f"mount {volume.mount} again: it is mounted without {', '.join(lacking)}"
        state.steps.append(Step("remount", volume.name, text, {"point": volume.mount}))
    _judge_attributes(machine, volume, state, mount)
    return entry


def former_mounts(machine: Machine, volumes: Sequence[Volume]) -> Iterator[Step]:
    """Lines of fstab that the role wrote for volumes that are named no more. What they hold stays where it is."""
    points = {volume.mount for volume in volumes}
    lines = {(each.source, each.point) for each in parse_fstab(machine.fstab)}
    for entry in parse_fstab(machine.noted):
        if entry.point in points or (entry.source, entry.point) not in lines:
            continue
        mount = machine.mounted_at(entry.point)
        mounted = mount is not None and mount.type == entry.type
        text = f"take {entry.point} ({entry.source}) out of fstab{' and unmount it' if mounted else ''}"
        text += ": no volume is mounted there any more; what it holds stays"
        yield Step("former_mount", entry.point, text, {"point": entry.point, "mounted": mounted})


def _is_mount_of(mount: Mount, volume: Volume, device: Device | None) -> bool:
    if volume.layout == "zfs":
        return mount.type == "zfs" and mount.source == volume.name
    return device is not None and mount.number == device.number and mount.root == "/"


def _refuse_hiding(machine: Machine, volume: Volume, state: State) -> None:
    there = machine.points.get(volume.mount, {"kind": "nothing", "entries": []})
    if there["kind"] == "other":
        state.refuse(volume, f"{volume.mount} is no directory", "move it away, or give the volume another mount")
    elif there["entries"]:
        message = f"{volume.mount} holds files ({', '.join(there['entries'])} …), which the mount would hide"
        remedy = "stop what writes there, move them away (onto the volume, if they are needed), then run again"
        state.refuse(volume, message, remedy)


def _refuse_others(machine: Machine, volume: Volume, state: State, entry: Entry | None, fstab: Sequence[Entry]) -> None:
    """A line of fstab is replaced only where what it names is not there any more."""
    at_point = [each for each in fstab if each.point == volume.mount]
    if len(at_point) > 1:
        message = f"fstab has {len(at_point)} lines for {volume.mount}"
        state.refuse(volume, message, "take out those that are not wanted")
    for each in at_point[:1]:
        if (entry is None or each.source != entry.source) and not _is_gone(machine, each.source):
            message = f"fstab gives {volume.mount} to {each.source}"
            state.refuse(volume, message, "take the line out, or give the volume another mount")
    for each in fstab:
        if entry is not None and each.source == entry.source and each.point != volume.mount:
            message = f"fstab mounts it at {each.point}, too"
            state.refuse(volume, message, "take the line out, or correct mount in the node class")


def _is_gone(machine: Machine, source: str) -> bool:
    """Whether a line of fstab names a file system that no device of the machine has; others are not looked for."""
    key, _equals, value = source.partition("=")
    marks = [mark for device in machine.devices.values() for mark in device.signatures]
    known = {"UUID": {mark.uuid for mark in marks}, "LABEL": {mark.label for mark in marks}}.get(key)
    return known is not None and value.strip('"') not in known


def _judge_attributes(machine: Machine, volume: Volume, state: State, mount: Mount | None) -> None:
    """Of the root of the file system. One that is not mounted tells nothing; a new one will be as mkfs makes it."""
    if mount is None and not any(step.kind in ("filesystem", "pool") for step in state.steps):
        return
    there: Mapping[str, Any] = machine.points.get(volume.mount, {}) if mount is not None else _NEW
    wanted = {"owner": volume.owner, "group": volume.group, "mode": f"{int(volume.mode, 8):04o}"}
    differing = [f"{key} {there.get(key)}" for key, value in wanted.items() if there.get(key) != value]
    if differing:
        text = f"give {volume.mount} owner {volume.owner}, group {volume.group} and mode {wanted['mode']}"
        text += f": it has {', '.join(differing)}"
        state.steps.append(Step("attributes", volume.name, text, {"point": volume.mount, **wanted}))


def judge_record(machine: Machine, volume: Volume, state: State) -> None:
    """Add to `state` what is due of mdadm.conf, by which the array has its name from the first moment of a boot."""
    if volume.layout not in RAID or not state.uuid:
        return
    line, others = record_of(volume, state.uuid)
    due = line not in machine.mdadm_conf.splitlines() or re.search(others, machine.mdadm_conf, re.MULTILINE)
    if due:
        text = f"write `{line}` into /etc/mdadm/mdadm.conf"
        state.steps.append(Step("record", volume.name, text, {"line": line, "others": others}))
    if any(machine.initramfs.values()) or (due and machine.initramfs):
        text = f"build the initramfs anew ({', '.join(machine.initramfs)}), which has another mdadm.conf"
        state.steps.append(Step("initramfs", volume.name, text))


def record_of(volume: Volume, uuid: str) -> tuple[str, str]:
    """The line of an array, and a pattern of others about it or its name, with the lines that continue them."""
    rest = f"{array_path(volume)} metadata=1.2 UUID={uuid}"
    about = rf"(?:{re.escape(array_path(volume))}(?!\S)|UUID={re.escape(uuid)})"
    return f"ARRAY {rest}", rf"^ARRAY[ \t]+(?!{re.escape(rest)}$)(?:.*[ \t])?{about}.*\n?(?:[ \t]+.*\n?)*"
