# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the host itself: memory, boot, kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, read_text

_MEMORY = re.compile(r"^MemTotal:\s+(\d+) kB$", re.MULTILINE)


def read_host(proc: Path) -> dict[str, Any]:
    """From `proc` (/proc): `memory_bytes`, `boot_id`, `uptime_seconds`, `kernel` release, `hostname`.

    Any value may be `{"error"}`.
    """
    kernel = proc / "sys" / "kernel"
    return {
        "memory_bytes": attempt(lambda: _memory(proc / "meminfo")),
        "boot_id": attempt(lambda: read_text(kernel / "random" / "boot_id")),
        "uptime_seconds": attempt(lambda: float(read_text(proc / "uptime").split()[0])),
        "kernel": attempt(lambda: read_text(kernel / "osrelease")),
        "hostname": attempt(lambda: read_text(kernel / "hostname")),
    }


def _memory(path: Path) -> int:
    match = _MEMORY.search(read_text(path))
    if not match:
        raise SourceError(f"{path} has no MemTotal")
    return int(match[1]) * 1024
