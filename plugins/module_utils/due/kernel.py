# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings of the running kernel are due."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_SELECTED = re.compile(r"\[([^\[\]]*)\]")
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


def selected(text: str) -> str:
    """The value of a file of sysfs: of several that it offers the one in brackets, `always [madvise] never`."""
    match = _SELECTED.search(text)
    return (match[1] if match else text).strip()


def read_files(patterns: Iterable[str], root: str = "/") -> dict[str, dict[str, str]]:
    """Of each glob pattern the files that there are, with their values. What nobody can read has no value: ''."""
    return {pattern: _values(pattern, root) for pattern in patterns}


def _values(pattern: str, root: str) -> dict[str, str]:
    paths = sorted(Path(root).glob(pattern.lstrip("/")))
    return {str(path): selected(_read(path) or "") for path in paths}


def files_due(wanted: Mapping[str, object], found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Pattern to reason, of those with a file of another value. A file that the kernel does not have is not due."""
    reasons = {}
    for pattern, value in wanted.items():
        others = {path: have for path, have in found[pattern].items() if have != str(value)}
        if others:
            path, have = next(iter(others.items()))
            count = f"{len(others)} of {len(found[pattern])} differ: " if len(found[pattern]) > 1 else ""
            reasons[pattern] = f"{count}{path} is {have or 'not readable'}, wanted is {value}"
    return reasons
