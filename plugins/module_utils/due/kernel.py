# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings of the running kernel are due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

_SWAPPED = {ord("."): "/", ord("/"): "."}


def path_of(key: str) -> str:
    """Path of a setting below /proc/sys. As for sysctl, the first separator says which of `.` and `/` parts levels."""
    first = next((letter for letter in key if letter in "./"), ".")
    return key if first == "/" else key.translate(_SWAPPED)


def read_settings(keys: Iterable[str], root: str = "/proc/sys") -> dict[str, str]:
    """The settings of the running kernel; those that it does not have, or shows nobody, are left out."""
    read = {key: _read(Path(root) / path_of(key)) for key in keys}
    return {key: text for key, text in read.items() if text is not None}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def settings_due(wanted: Mapping[str, object], found: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Names of the settings that differ, columns parted by whatever white space, and of those that are not there."""
    different = [key for key in wanted if key in found and found[key].split() != str(wanted[key]).split()]
    return different, [key for key in wanted if key not in found]
