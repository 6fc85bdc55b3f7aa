# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what block devices a machine has, what lies on each, what is built of them and where that is mounted.

Everything is read from the devices and the kernel, not from udev's memory of them: wipefs without --all only looks.
"""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .source import SourceError, SourceMissing, attempt, describe, read_text, run_tool
from .storage import unescape

_COLUMNS = "KNAME,PATH,TYPE,SIZE,MODEL,SERIAL,MAJ:MIN,MOUNTPOINTS"
# What nobody keeps data on, or what is not this machine's.
_PASSED_OVER = ("loop", "rom")
# By which the role storage makes a unit depend on mounts.
_DROP_IN = "50-firstlight-storage.conf"
_NOTE = "var/lib/firstlight/storage/fstab"
# In the path of a disk in sysfs: iSCSI, Fibre Channel, USB.
_OUTSIDE = re.compile(r"/(session\d+|rport-[^/]+|usb\d+)/")
_ZFS_MEMBER = "zfs_member"
_POOL_LINE = re.compile(r"\s*(?P<key>pool|id|state|status|action|see|config|comment):\s*(?P<text>.*?)\s*$")
# Enough of a folder's content to know whose it is.
_ENTRIES = 3

Run = Callable[[Sequence[str]], str]


def read_block_devices(
    points: Iterable[str], root: Path = Path("/"), run: Run = run_tool, claimed: Callable[[str], bool] | None = None
) -> dict[str, Any]:
    """The block devices, and of `points` what lies there as long as nothing is mounted.

    Returns `devices` (of each: `name`, `path`, `type`, `size`, `model`, `serial`, `number`, `mounted`, `parents`,
    `holders`, `links`, `physical`, `claimed`, `signatures`), `arrays`, `volumes` and `physical_volumes` of LVM, whether
    there is `lvm` at all, `pools` of ZFS, those that are `importable` by their ids, `mounts`, `points`, the texts
    `fstab`, `noted` and `mdadm_conf`, `initramfs` (of that of each kernel whether it is older than the latter) and
    `dependent_units` (which the role storage has made depend on mounts).
    Raises OSError, SourceError, SourceMissing: half a picture is no ground to write on.
    """
    devices = _devices(run(["lsblk", "--json", "--bytes", "--output", _COLUMNS]))
    links = _links(root / "dev/disk/by-id")
    left = read_left(root)
    for device in devices:
        # lsblk does not see every mount: it may know a root file system by another name than the kernel does.
        seen = [mount["point"] for mount in left["mounts"] if mount["number"] == device["number"]]
        device["mounted"] += [point for point in dict.fromkeys(seen) if point not in device["mounted"]]
        folder = root / "sys/class/block" / device["name"]
        device["links"] = links.get(device["name"], [])
        device["holders"] = _names(folder / "holders")
        disk, removable = device["type"] == "disk", attempt(read_text, folder / "removable") == "1"
        device["physical"] = disk and not removable and _built_in(folder / "device")
        device["claimed"] = device["physical"] and (claimed or _claimed)(device["path"])
        device["signatures"] = _signatures(run, device) if device["size"] and not removable else []
    conf = root / "etc/mdadm/mdadm.conf"
    physical = _lvm(run, "pvs", "pv", "pv_name,vg_name")
    return {
        "devices": devices,
        "arrays": _arrays(root / "sys/class/block"),
        "lvm": physical is not None,
        "physical_volumes": physical or [],
        "volumes": _lvm(run, "lvs", "lv", "vg_name,lv_name,lv_path,lv_active") or [],
        "pools": _pools(run),
        "importable": _importable(run, devices),
        **left,
        "mdadm_conf": _text(conf),
        "initramfs": _initramfs(root / "boot", conf),
        "points": {point: read_point(root / point.lstrip("/")) for point in points},
    }


def read_left(root: Path = Path("/")) -> dict[str, Any]:
    """What tells of volumes also where there are none any more: `mounts`, `fstab`, `noted`, `dependent_units`.

    `noted` are the lines of fstab that the role storage has written. Raises OSError.
    """
    return {
        "mounts": parse_mounts((root / "proc/self/mountinfo").read_text(errors="replace")),
        "fstab": _text(root / "etc/fstab"),
        "noted": _text(root / _NOTE),
        "dependent_units": sorted(
            path.parent.name.removesuffix(".d") for path in (root / "etc/systemd/system").glob(f"*.d/{_DROP_IN}")
        ),
    }


def read_point(path: Path) -> dict[str, Any]:
    """What is at `path`: its `kind`, `owner`, `group`, `mode` and the first of its `entries`."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return {"kind": "nothing", "entries": []}
    found = {
        "kind": "directory" if stat.S_ISDIR(status.st_mode) else "other",
        "owner": _name(lambda: pwd.getpwuid(status.st_uid).pw_name, status.st_uid),
        "group": _name(lambda: grp.getgrgid(status.st_gid).gr_name, status.st_gid),
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
    }
    return {**found, "entries": _names(path)[:_ENTRIES] if found["kind"] == "directory" else []}


def parse_mounts(mountinfo: str) -> list[dict[str, Any]]:
    """Every mount, in the order of mounting: what is mounted last at a place is what is seen there."""
    mounts = []
    for line in mountinfo.splitlines():
        # id parent major:minor root mount-point options [optional...] - type source super-options
        before, _separator, after = line.partition(" - ")
        fields, described = before.split(" "), after.split(" ")
        if len(fields) > 5 and len(described) > 1:
            mounts.append(
                {
                    "point": unescape(fields[4]),
                    "number": fields[2],
                    "root": unescape(fields[3]),
                    "type": described[0],
                    "source": unescape(described[1]),
                    "options": fields[5].split(","),
                }
            )
    return mounts


def _devices(text: str) -> list[dict[str, Any]]:
    """lsblk shows a device under each that it is built of; here each is once, with the names of all of those."""
    found: dict[str, dict[str, Any]] = {}

    def walk(item: Any, parent: str | None) -> None:
        name = str(item["kname"])
        if item["type"] in _PASSED_OVER:
            return
        device = found.setdefault(
            name,
            {
                "name": name,
                "path": str(item["path"]),
                "type": str(item["type"]),
                "size": int(item["size"] or 0),
                "model": str(item["model"] or "").strip(),
                "serial": str(item["serial"] or "").strip(),
                "number": str(item["maj:min"]).strip(),
                "mounted": [str(point) for point in item["mountpoints"] if point],
                "parents": [],
            },
        )
        if parent is not None and parent not in device["parents"]:
            device["parents"].append(parent)
        for child in item.get("children", []):
            walk(child, name)

    try:
        for item in json.loads(text)["blockdevices"]:
            walk(item, None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"lsblk cannot be understood: {describe(error)}") from error
    return list(found.values())


def _built_in(device: Path) -> bool:
    """Whether a disk is in the machine: one over a network or at a USB port may be another's, or gone tomorrow."""
    # A disk with several paths has them one level deeper.
    transports = [_or_empty(path) for path in (device / "transport", *device.glob("nvme*/transport"))]
    return device.exists() and {*transports} <= {"", "pcie"} and not _OUTSIDE.search(str(device.resolve()))


def _signatures(run: Run, device: dict[str, Any]) -> list[dict[str, str]]:
    """What says of itself that it lies on the device: file systems, members of arrays, tables of partitions."""
    text = run(["wipefs", "--json", "--no-act", device["path"]]).strip()
    try:
        listed = json.loads(text)["signatures"] if text else []
        found = [{key: str(item.get(key) or "") for key in ("type", "uuid", "label")} for item in listed]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"wipefs on {device['path']} cannot be understood: {describe(error)}") from error
    # One thing may have several marks, as a table of partitions at both ends.
    return [item for position, item in enumerate(found) if item not in found[:position]]


def _arrays(folder: Path) -> dict[str, dict[str, Any]]:
    arrays = {}
    for path in sorted(folder.glob("md*")):
        members = _names(path / "slaves")
        if not members:
            continue
        arrays[path.name] = {
            "level": _or_empty(path / "md/level"),
            "disks": _number(path / "md/raid_disks"),
            # Levels that cannot be have no such file.
            "degraded": _number(path / "md/degraded"),
            "state": _or_empty(path / "md/array_state"),
            "action": _or_empty(path / "md/sync_action"),
            "members": members,
        }
    return arrays


def _lvm(run: Run, command: str, rows: str, columns: str) -> list[dict[str, str]] | None:
    """Rows of pvs or lvs; None where LVM is not installed."""
    try:
        text = run([command, "--reportformat", "json", "--options", columns])
    except SourceMissing:
        return None
    try:
        return [{key: str(value) for key, value in row.items()} for row in json.loads(text)["report"][0][rows]]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{command} cannot be understood: {describe(error)}") from error


def _pools(run: Run) -> dict[str, dict[str, str]]:
    """Pools of ZFS that are imported; none where it is not installed, or its module is not loaded."""
    try:
        listed = run(["zpool", "list", "-H", "-o", "name,health"])
        mounts = run(["zfs", "list", "-H", "-d", "0", "-o", "name,mountpoint"])
    except (SourceMissing, SourceError):
        return {}
    points = dict(line.split("\t") for line in mounts.splitlines() if line.count("\t") == 1)
    rows = (line.split("\t") for line in listed.splitlines() if line.count("\t") == 1)
    return {name: {"health": health, "mountpoint": points.get(name, "")} for name, health in rows}


def _importable(run: Run, devices: Iterable[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """By their ids the pools of ZFS that could be imported: `name`, `state` and what `status` says of them.

    Nothing is looked for where no device has the mark of one, or where ZFS is not installed.
    """
    if not any(mark["type"] == _ZFS_MEMBER for device in devices for mark in device["signatures"]):
        return {}
    try:
        return parse_importable(run(["zpool", "import"]))
    except (SourceMissing, SourceError):
        return {}


def parse_importable(text: str) -> dict[str, dict[str, str]]:
    """What `zpool import` lists: a paragraph for each pool, of lines `key: text`, which go on in indented ones."""
    found: dict[str, dict[str, str]] = {}
    pool, key = {"name": "", "state": "", "status": ""}, ""
    for line in text.splitlines():
        match = _POOL_LINE.match(line)
        if match is not None:
            key = match["key"]
            if key == "pool":
                pool = {"name": match["text"], "state": "", "status": ""}
            elif key == "id":
                found[match["text"]] = pool
            elif key in pool:
                pool[key] = match["text"]
        elif key == "status" and line.strip():
            pool[key] += f" {line.strip()}"
    return found


def _links(folder: Path) -> dict[str, list[str]]:
    """Names in /dev/disk/by-id by the kernel's name of the device."""
    links: dict[str, list[str]] = {}
    for name in _names(folder):
        links.setdefault((folder / name).readlink().name, []).append(name)
    return links


def _claimed(path: str) -> bool:
    """Whether the kernel has given the disk to somebody for himself: a mount, an array, ZFS, a virtual machine."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    return False


def _initramfs(folder: Path, conf: Path) -> dict[str, bool]:
    """Of a kernel that is there: copies that others keep, as DKMS its `.old-dkms`, update-initramfs leaves alone."""
    return {
        path.name: _older(path, conf)
        for path in sorted(folder.glob("initrd.img-*"))
        if (folder / path.name.replace("initrd.img-", "vmlinuz-", 1)).exists()
    }


def _older(path: Path, other: Path) -> bool:
    return other.exists() and path.stat().st_mtime_ns < other.stat().st_mtime_ns


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _or_empty(path: Path) -> str:
    return _text(path).strip()


def _number(path: Path) -> int:
    text = _or_empty(path)
    return int(text) if text.isascii() and text.isdigit() else 0


def _name(ask: Callable[[], str], number: int) -> str:
    try:
        return ask()
    except KeyError:
        return str(number)
