# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read how full one file system is. One reader per mount: statvfs of a dead network file system hangs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from .source import SourceError

_OCTAL = re.compile(r"\\([0-7]{3})")


def read_storage(mount: str, root: Path = Path("/"), mountinfo: str = "proc/self/mountinfo") -> dict[str, Any]:
    """The file system at `mount` below `root`.

    Returns `mount`, `mounted` (whether a file system is mounted exactly there), `type` and `source` (of the
    uppermost one, None if not mounted), `size_bytes`, `available_bytes` (to plain users), `used_percent` as df
    counts it (of what plain users could fill), `inodes`, `inodes_used_percent` (None for a file system
    without a fixed number), `read_only`; only the first two where there is not even a directory. Raises
    OSError, SourceError.
    """
    table = (root / mountinfo).read_bytes().decode("utf-8", errors="replace")
    if not table.strip():
        raise SourceError(f"empty: {root / mountinfo}")
    entry = _mount_entry(table, mount)
    try:
        state = os.statvfs(root / mount.lstrip("/"))
    except FileNotFoundError:
        return {"mount": mount, "mounted": False}
    used = state.f_blocks - state.f_bfree
    if state.f_blocks <= 0 or used + state.f_bavail <= 0:
        raise SourceError(f"the file system at {mount} has no blocks")
    inodes_used = state.f_files - state.f_ffree
    return {
        "mount": mount,
        "mounted": entry is not None,
        "type": entry[0] if entry else None,
        "source": entry[1] if entry else None,
        "size_bytes": state.f_blocks * state.f_frsize,
        "available_bytes": state.f_bavail * state.f_frsize,
        "used_percent": round(100.0 * used / (used + state.f_bavail), 1),
        "inodes": state.f_files,
        "inodes_used_percent": round(100.0 * inodes_used / state.f_files, 1) if state.f_files > 0 else None,
        "read_only": bool(state.f_flag & os.ST_RDONLY),
    }


def _mount_entry(mountinfo: str, mount: str) -> tuple[str, str] | None:
    """Type and source of what is mounted last at `mount`."""
    found = None
    for line in mountinfo.splitlines():
        # id parent major:minor root mount-point options [optional...] - type source super-options
        before, _separator, after = line.partition(" - ")
        fields, described = before.split(" "), after.split(" ")
        if len(fields) > 4 and len(described) > 1 and unescape(fields[4]) == mount:
            found = (described[0], unescape(described[1]))
    return found


def unescape(text: str) -> str:
    """A path of /proc/self/mountinfo, which writes white space in octal, as it is."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
