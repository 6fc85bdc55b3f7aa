# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read how the operating system runs: its release, how its kernel was started and set, what is loaded into it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, read_text

_RELEASE = re.compile(r"^(ID|VERSION_ID)=[\"']?([A-Za-z0-9._-]+)[\"']?[ \t]*$", re.MULTILINE)
_CHOSEN = re.compile(r"\[(\w+)\]|^(\w+)$")
_OOM_KILLS = re.compile(r"^oom_kill ([0-9]{1,18})$", re.MULTILINE)
_MAX_TABLE = 1024 * 1024


def read_system(root: Path) -> dict[str, Any]:
    """From `root` (/), any value of which may be `{"error"}`:

    `os`: `ubuntu 24.04`, as /etc/os-release has ID and VERSION_ID. `command_line` of the kernel. `modules`: names of
    those that are loaded, sorted. `taint`: the bits of /proc/sys/kernel/tainted. `swaps`: devices and files in use.
    `oom_kills`: processes that the kernel has ended since the boot for want of memory.
    `transparent_hugepages`: `always`, `madvise` or `never`.
    """
    proc = root / "proc"
    return {
        "os": attempt(_os, root / "etc" / "os-release"),
        "command_line": attempt(read_text, proc / "cmdline"),
        "modules": attempt(_modules, proc / "modules"),
        "taint": attempt(_number, proc / "sys" / "kernel" / "tainted"),
        "swaps": attempt(_swaps, proc / "swaps"),
        "oom_kills": attempt(_oom_kills, proc / "vmstat"),
        "transparent_hugepages": attempt(_chosen, root / "sys" / "kernel" / "mm" / "transparent_hugepage" / "enabled"),
    }


def _os(path: Path) -> str:
    values = dict(_RELEASE.findall(read_text(path)))
    if len(values) < 2:
        raise SourceError(f"{path} names no ID and VERSION_ID")
    return f"{values['ID']} {values['VERSION_ID']}"


def _modules(path: Path) -> list[str]:
    # name size references dependants state address [taints]
    rows = [line.split() for line in _lines(path)]
    if not all(len(row) > 4 and row[1].isdigit() for row in rows):
        raise SourceError(f"{path} is no list of modules")
    return sorted(row[0] for row in rows if row[4] == "Live")


def _swaps(path: Path) -> list[str]:
    lines = _lines(path)
    if not lines or not re.fullmatch(r"Filename\s.*\sPriority", lines[0]):
        raise SourceError(f"{path} is no table of swap")
    return [line.split()[0] for line in lines[1:] if line.strip()]


def _lines(path: Path) -> list[str]:
    """The lines of a file that may be empty: a kernel without modules has an empty list of them."""
    with path.open("rb") as stream:
        return stream.read(_MAX_TABLE).decode("utf-8", errors="replace").strip().splitlines()


def _number(path: Path) -> int:
    text = read_text(path)
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise SourceError(f"{path}: not a number: {text[:80]!r}")
    return int(text)


def _oom_kills(path: Path) -> int:
    match = _OOM_KILLS.search(read_text(path))
    if not match:
        raise SourceError(f"{path} has no oom_kill")
    return int(match[1])


def _chosen(path: Path) -> str:
    """The word in brackets, or the only one."""
    text = read_text(path)
    match = _CHOSEN.search(text)
    if not match:
        raise SourceError(f"{path}: nothing is chosen: {text[:80]!r}")
    return match[1] or match[2]
