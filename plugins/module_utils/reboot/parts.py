# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has before a restart and what it has after it: a GPU, an adapter or memory may stay away.

Counted on the PCI bus and not by drivers, as a new kernel may have to get those first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Beginnings of PCI class codes.
_CLASSES = {
    "0x03": "GPU or display",
    "0x02": "network adapter",
    "0x01": "storage controller",
    "0x0680": "bridge (NVSwitch)",
}
_NVIDIA = "0x10de"
_MEMORY = re.compile(r"^MemTotal:\s+(\d+) kB$", re.MULTILINE)
# Kernels keep different shares for themselves; a module that is lost is far more.
_MEMORY_SHARE, _MEMORY_KIB = 0.02, 1024**2


def read(root: str = "/") -> dict[str, Any]:
    """Of the host below `root`: `devices` (kind and model by PCI address), `memory_kib`, `processors`, `disks`."""
    place = Path(root)
    return {
        "devices": _devices(place / "sys/bus/pci/devices"),
        "memory_kib": _memory(place / "proc/meminfo"),
        # Not those that are online: words of the command line, such as nosmt, leave some of them out.
        "processors": _processors(place / "sys/devices/system/cpu/present"),
        "disks": _disks(place / "sys/block"),
    }


def _devices(folder: Path) -> dict[str, str]:
    found = {}
    for path in _entries(folder):
        code, vendor = _text(path / "class"), _text(path / "vendor")
        kind = next((kind for start, kind in _CLASSES.items() if code.startswith(start)), "")
        # Virtual functions come with a driver. Of bridges only NVIDIA's are parts.
        if kind and not (path / "physfn").exists() and (not code.startswith("0x0680") or vendor == _NVIDIA):
            found[path.name] = f"{kind} {vendor.removeprefix('0x')}:{_text(path / 'device').removeprefix('0x')}"
    return found


def _memory(path: Path) -> int:
    match = _MEMORY.search(_text(path))
    return int(match[1]) if match else 0


def _processors(path: Path) -> int:
    """Of a list such as 0-63,128-191."""
    count = 0
    for part in _text(path).split(","):
        ends = part.split("-")
        if ends[0].isdigit():
            count += int(ends[-1] or ends[0]) - int(ends[0]) + 1
    return count


def _disks(folder: Path) -> int:
    """Without media that come and go, as those that a BMC shows."""
    return sum((path / "device").exists() and _text(path / "removable") != "1" for path in _entries(folder))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def worse(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Sentences about what is less than it was. Addresses may change with a restart, so kinds are counted."""
    sentences = []
    for kind in sorted({*before["devices"].values()}):
        had, has = _addresses(before["devices"], kind), _addresses(after["devices"], kind)
        if len(has) < len(had):
            gone = ", ".join(address for address in had if address not in has)
            sentences.append(f"{len(has)} of {len(had)} are left of {kind}" + (f", gone: {gone}" if gone else ""))
    lost = before["memory_kib"] - after["memory_kib"]
    if lost > max(_MEMORY_KIB, before["memory_kib"] * _MEMORY_SHARE):
        sentences.append(f"{_gib(after['memory_kib'])} of {_gib(before['memory_kib'])} GiB of memory are left")
    sentences += [
        f"{after[key]} of {before[key]} {key} are left" for key in ("processors", "disks") if after[key] < before[key]
    ]
    return sentences


def _addresses(devices: Mapping[str, str], kind: str) -> list[str]:
    return sorted(address for address, other in devices.items() if other == kind)


def _gib(kib: int) -> int:
    return round(kib / 1024**2)


def complete(parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """`parts` as they are. Raises ValueError where they are not what `read` gave."""
    missing = [key for key in ("devices", "memory_kib", "processors", "disks") if key not in parts]
    if missing:
        raise ValueError(f"before: has no {', '.join(missing)}. Give the parts that were returned before the restart.")
    return parts
