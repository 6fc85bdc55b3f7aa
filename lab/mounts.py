# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that a lab makes on its host, all below its own directories."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.errors import LabError


def make_scratch(directory: Path, mebibytes: int) -> None:
    """A volume of limited size at `directory`, empty; it keeps its content until it is unmounted."""
    directory.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "firstlight-scratch", str(directory))


def below(directory: Path) -> list[Path]:
    """Mount points at and below `directory`, the last mounted first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # The kernel writes blanks and the like as octal escapes.
        point = Path(line.split()[4].encode().decode("unicode_escape").encode("latin-1").decode())
        if point == directory or directory in point.parents:
            points.append(point)
    return points[::-1]


def unmount_below(directory: Path) -> None:
    """Unmount everything at and below `directory`."""
    directory = directory.resolve()
    for point in below(directory):
        failure = _failure("umount", "--lazy", str(point))
        # Podman unmounts its storage itself when its last container ends, and may be the first.
        if failure and point in below(directory):
            raise LabError(failure)


def _run(*command: str) -> None:
    failure = _failure(*command)
    if failure:
        raise LabError(failure)


def _failure(*command: str) -> str:
    """What went wrong with a command; empty where nothing did."""
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    return f"`{' '.join(command)}` failed: {result.stderr.strip()}" if result.returncode else ""
