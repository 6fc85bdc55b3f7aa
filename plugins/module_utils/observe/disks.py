# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the arrays of disks that the kernel has, and its NVMe disks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .nvme import OVER_A_NETWORK
from .source import SourceError, attempt, read_text

# md0 : active (auto-read-only) raid1 nvme1n1p2[1](F) nvme0n1p2[0]
_ARRAY = re.compile(r"^(?P<name>md\S*) : (?P<state>active|inactive|broken)(?: \([a-z-]+\))*(?P<rest>.*)$")
_LEVEL = re.compile(r"linear|multipath|raid\d+|container|faulty")
_MEMBER = re.compile(r"(\S+?)\[\d+\]((?:\([A-Z]\))*)")
# 1874715648 blocks super 1.2 [2/1] [U_]
_WORKING = re.compile(r"\[(\d+)/(\d+)\]")
_ACTION = re.compile(r"(recovery|resync|reshape|check|repair)\s*=")
_CONTROLLER = re.compile(r"nvme[0-9]+")


def read_disks(root: Path) -> dict[str, Any]:
    """From `root` (/), any of which may be `{"error"}`:

    `arrays`: see `parse_arrays`; empty where the kernel has no driver for any. `ext4`: by the device of each such file
    system that is mounted, the errors that it has recorded since it was checked last. `nvme`: of each NVMe disk on a
    PCI bus, by the name of its controller, `state` (`live` if all is well), `model` and `firmware`; those over a
    network are not the host's, and one that does not tell how it is reached is `{"error"}`.
    """
    return {
        "arrays": attempt(_arrays, root / "proc" / "mdstat"),
        "ext4": attempt(_ext4, root / "sys" / "fs" / "ext4"),
        "nvme": attempt(_nvme, root / "sys" / "class" / "nvme"),
    }


def _arrays(path: Path) -> list[dict[str, Any]]:
    try:
        text = read_text(path)
    except FileNotFoundError:
        return []
    return parse_arrays(text)


def parse_arrays(text: str) -> list[dict[str, Any]]:
    """Each array of /proc/mdstat: `name`, `active`, `level` and those members that have `failed`.

    `wanted` and `working` are numbers of members, None for a level that stands no loss; `action` is what it does beside
    its work: `recovery`, `resync`, `check`, or empty. Raises SourceError where the text is another.
    """
    if not re.match(r"Personalities\s*:", text):
        raise SourceError("/proc/mdstat is no list of arrays")
    arrays: list[dict[str, Any]] = []
    for line in text.splitlines():
        match = _ARRAY.match(line)
        if match:
            members = _MEMBER.findall(match["rest"])
            level = _LEVEL.search(match["rest"])
            arrays.append(
                {
                    "name": match["name"],
                    "active": match["state"] == "active",
                    "level": level[0] if level and match["state"] != "inactive" else "",
                    "failed": sorted(name for name, flags in members if "(F)" in flags),
                    "wanted": None,
                    "working": None,
                    "action": "",
                }
            )
        elif re.match(r"\S", line):
            # Personalities, unused devices, or an array in words that this does not know.
            if line.startswith("md"):
                raise SourceError(f"/proc/mdstat: not an array: {line[:120]!r}")
        elif arrays:
            working, action = _WORKING.search(line), _ACTION.search(line)
            if working and "blocks" in line:
                arrays[-1] |= {"wanted": int(working[1]), "working": int(working[2])}
            if action:
                arrays[-1]["action"] = action[1]
    return arrays


def _ext4(path: Path) -> dict[str, Any]:
    try:
        # Beside the file systems there is what the driver can do.
        mounted = sorted(each for each in path.iterdir() if (each / "errors_count").exists())
    except FileNotFoundError:
        return {}
    return {each.name: attempt(_count, each / "errors_count") for each in mounted}


def _count(path: Path) -> int:
    text = read_text(path)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise SourceError(f"{path}: not a number: {text[:80]!r}")
    return int(text)


def _nvme(path: Path) -> dict[str, dict[str, Any]]:
    try:
        controllers = sorted(each for each in path.iterdir() if _CONTROLLER.fullmatch(each.name))
    except FileNotFoundError:
        return {}
    read = {each.name: attempt(_controller, each) for each in controllers}
    return {name: disk for name, disk in read.items() if disk}


def _controller(path: Path) -> dict[str, Any]:
    """Empty for a disk that is another machine's."""
    transport = read_text(path / "transport")
    if transport in OVER_A_NETWORK:
        return {}
    if transport != "pcie":
        raise SourceError(f"{path / 'transport'}: not a way to a disk: {transport[:80]!r}")
    return {
        "state": attempt(read_text, path / "state"),
        "model": attempt(read_text, path / "model"),
        "firmware": attempt(read_text, path / "firmware_rev"),
    }
