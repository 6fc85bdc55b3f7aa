# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the host itself: memory, boot, kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, read_text

_MEMORY = re.compile(r"^MemTotal:[ \t]+([0-9]{1,18}) kB$", re.MULTILINE)
_UPTIME = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?(?=\s|$)")


def read_host(proc: Path) -> dict[str, Any]:
    """From `proc` (/proc): `memory_bytes`, `boot_id`, `uptime_seconds`, `kernel` release, `hostname`.

    Any value may be `{"error"}`.
    """
    kernel = proc / "sys" / "kernel"
    return {
        "memory_bytes": attempt(lambda: _memory(proc / "meminfo")),
        "boot_id": attempt(lambda: read_text(kernel / "random" / "boot_id")),
        "uptime_seconds": attempt(lambda: _uptime(proc / "uptime")),
        "kernel": attempt(lambda: read_text(kernel / "osrelease")),
        "hostname": attempt(lambda: read_text(kernel / "hostname")),
    }


def _uptime(path: Path) -> float:
    text = read_text(path)
    match = _UPTIME.match(text)
    if not match:
        raise SourceError(f"{path}: not an uptime: {text[:80]!r}")
    return float(match[0])


def _memory(path: Path) -> int:
    match = _MEMORY.search(read_text(path))
    if not match:
        raise SourceError(f"{path} has no MemTotal")
    return int(match[1]) * 1024
