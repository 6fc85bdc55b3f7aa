# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read which machine this is and which disks are in it, so that an exchanged part shows by its serial number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, read_text

_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# A path to a namespace (nvme0c0n1) is not another disk.
_PATH = re.compile(r"nvme\d+c\d+n\d+")
_CONTROLLER = re.compile(r"nvme\d+")
# Page 80 of a SCSI disk's vital product data: four bytes of header, then the serial number.
_HEADER = 4


def read_hardware(sysfs: Path) -> dict[str, Any]:
    """From `sysfs` (/sys): the machine as its firmware names it, and its disks.

    Returns `system` (`serial`, `vendor`, `model`, `bios`) and `disks`, a list of `name`, `slot` (PCI address of its
    controller and what is below, else the name), `serial`, `wwid`, `model`, `firmware`; virtual and removable ones
    are left out. Any value may be `{"error"}`. Raises OSError where the kernel lists no block devices.
    """
    dmi = sysfs / "class" / "dmi" / "id"
    return {
        "system": {
            "serial": attempt(read_text, dmi / "product_serial"),
            "vendor": attempt(read_text, dmi / "sys_vendor"),
            "model": attempt(read_text, dmi / "product_name"),
            "bios": attempt(read_text, dmi / "bios_version"),
        },
        "disks": _disks(sysfs / "block"),
    }


def _disks(folder: Path) -> list[dict[str, Any]]:
    disks: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.iterdir()):
        # Without a device behind it: loop, RAM, device mapper, md.
        if _PATH.fullmatch(path.name) or not (path / "device").is_dir() or _flag(path / "removable"):
            continue
        disk = {
            "name": path.name,
            "slot": _slot(path),
            "serial": attempt(_serial, path),
            "wwid": attempt(_first, path / "wwid", path / "device" / "wwid"),
            "model": attempt(read_text, path / "device" / "model"),
            "firmware": attempt(_first, path / "device" / "firmware_rev", path / "device" / "rev"),
        }
        # Several namespaces of one NVMe disk are one part.
        disks.setdefault((disk["slot"], str(disk["serial"])), disk)
    return list(disks.values())


def _flag(path: Path) -> bool:
    return bool(attempt(read_text, path) == "1")


def _slot(path: Path) -> str:
    """NVMe: where the disk sits on the PCI bus. SCSI: its controller there, and host, channel, target and unit."""
    address = _address(path) or _address_of_controllers(path / "device")
    if not address:
        return path.name
    below = (path / "device").resolve().name
    return f"{address}/{below}" if re.fullmatch(r"\d+:\d+:\d+:\d+", below) else address


def _address(path: Path) -> str:
    """The last PCI address on the way to a device; empty where it is on no PCI bus."""
    return str((_PCI.findall(str(path.resolve())) or [""])[-1])


def _address_of_controllers(subsystem: Path) -> str:
    """With native multipath an NVMe disk is a virtual device, and its subsystem has links to its controllers.

    A drive with two ports has two of them, found in any order: the lower address is the same at every boot.
    """
    controllers = (each for each in subsystem.iterdir() if _CONTROLLER.fullmatch(each.name))
    return min(filter(None, map(_address, controllers)), default="")


def _first(*places: Path) -> str:
    """The text of the first file that has one; raises SourceError that names the last where none has."""
    read = [attempt(read_text, place) for place in places]
    for text in read:
        if isinstance(text, str):
            return text
    raise SourceError(read[-1]["error"])


def _serial(path: Path) -> str:
    """NVMe and virtio tell it as text, SCSI in a page of its own."""
    page = path / "device" / "vpd_pg80"
    if page.exists():
        text = page.read_bytes()[_HEADER:].decode("ascii", errors="replace").strip("\0 ")
        if not text:
            raise SourceError(f"empty: {page}")
        return text
    return _first(path / "device" / "serial", path / "serial")
