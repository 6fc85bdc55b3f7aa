# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read processors and memory: what there is, how it is set, what the kernel has counted against it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, read_text

# The text of 1024 processors with all their flags.
_MAX_PROCESSORS = 4 * 1024 * 1024
_VALUE = re.compile(r"^(processor|model name|microcode|physical id|core id)[ \t]*:[ \t]*([^\n]*\S)", re.MULTILINE)
_CORRUPTED = re.compile(r"^HardwareCorrupted:[ \t]+([0-9]{1,18}) kB$", re.MULTILINE)
_NODE_TOTAL = re.compile(r"^Node [0-9]+ MemTotal:[ \t]+([0-9]{1,18}) kB$", re.MULTILINE)
_COUNT = re.compile(r"[0-9]{1,18}")


def read_cpu_memory(root: Path) -> dict[str, Any]:
    """From `root` (/), any value of which may be `{"error"}`:

    `processors`: see `parse_processors`. `governors`: how many frequency policies have which; none where the firmware
    keeps the frequency to itself. `numa_balancing`: whether the kernel moves memory between NUMA nodes. `numa_nodes`:
    bytes of each node that has memory, by its number. `controllers`: by name (`mc0`) the `corrected` and `uncorrected`
    errors that EDAC has counted since the boot; empty where no driver counts. `offline_bytes`: of pages that the kernel
    has taken out of use because their memory is broken.
    """
    proc, system = root / "proc", root / "sys" / "devices" / "system"
    return {
        "processors": attempt(lambda: parse_processors(read_text(proc / "cpuinfo", _MAX_PROCESSORS))),
        "governors": attempt(_governors, system / "cpu" / "cpufreq"),
        "numa_balancing": attempt(_numa_balancing, proc / "sys" / "kernel" / "numa_balancing"),
        "numa_nodes": attempt(_numa_nodes, system / "node"),
        "controllers": attempt(_controllers, system / "edac" / "mc"),
        "offline_bytes": attempt(_offline, proc / "meminfo"),
    }


def parse_processors(text: str) -> dict[str, Any]:
    """`model`, `sockets`, `cores` and `threads` of the node that are online, and the versions of `microcode`, sorted.

    `text` is /proc/cpuinfo of an x86 machine. Raises SourceError where it does not say what sits where.
    """
    values: dict[str, list[str]] = {}
    for key, value in _VALUE.findall(text):
        values.setdefault(key, []).append(value)
    threads = len(values.get("processor", ()))
    places = list(zip(values.get("physical id", ()), values.get("core id", ()), strict=False))
    if not threads or len(places) != threads or not values.get("model name"):
        raise SourceError("/proc/cpuinfo does not tell of every processor its model, socket and core")
    return {
        "model": values["model name"][0],
        "sockets": len({socket for socket, _core in places}),
        "cores": len(set(places)),
        "threads": threads,
        "microcode": sorted(set(values.get("microcode", ()))),
    }


def _governors(path: Path) -> dict[str, int]:
    try:
        policies = [policy for policy in path.iterdir() if policy.name.startswith("policy")]
    except FileNotFoundError:
        return {}
    return dict(Counter(read_text(policy / "scaling_governor") for policy in policies))


def _numa_balancing(path: Path) -> bool:
    try:
        return _count(path) != 0
    except FileNotFoundError:
        return False  # a kernel without it moves nothing


def _numa_nodes(path: Path) -> dict[str, int]:
    found = {}
    for node in sorted(path.iterdir()):
        if re.fullmatch(r"node[0-9]+", node.name):
            match = _NODE_TOTAL.search(read_text(node / "meminfo"))
            if not match:
                raise SourceError(f"{node}/meminfo has no MemTotal")
            # A node of processors alone, or of a device's memory that is not there yet.
            if int(match[1]):
                found[node.name.removeprefix("node")] = int(match[1]) * 1024
    return found


def _controllers(path: Path) -> dict[str, dict[str, Any]]:
    try:
        controllers = sorted(each for each in path.iterdir() if re.fullmatch(r"mc[0-9]+", each.name))
    except FileNotFoundError:
        return {}
    return {
        each.name: {
            "corrected": attempt(_count, each / "ce_count"),
            "uncorrected": attempt(_count, each / "ue_count"),
        }
        for each in controllers
    }


def _offline(path: Path) -> int:
    match = _CORRUPTED.search(read_text(path))
    if not match:
        raise SourceError(f"{path} has no HardwareCorrupted")
    return int(match[1]) * 1024


def _count(path: Path) -> int:
    text = read_text(path)
    if not _COUNT.fullmatch(text):
        raise SourceError(f"{path}: not a number: {text[:80]!r}")
    return int(text)
