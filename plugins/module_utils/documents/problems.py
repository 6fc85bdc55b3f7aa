# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a site's files: where, what, and what to do. Collected, never raised one by one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The way to a value: keys of mappings and positions in lists.
KeyPath = tuple["str | int", ...]


@dataclass(frozen=True)
class Problem:
    """One thing to mend. `line` counts from 1; 0 when the file does not hold the value."""

    file: str
    key: str
    message: str
    remedy: str
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        about = f"{self.key}: " if self.key else ""
        return f"{place}: {about}{self.message.rstrip('.')}. Remedy: {self.remedy.rstrip('.')}."


def render(problems: Iterable[Problem]) -> str:
    """One line for each, in the order of files and lines."""
    return "\n".join(str(each) for each in sorted(problems, key=lambda each: (each.file, each.line, each.key)))


def key_of(path: Sequence[str | int]) -> str:
    """`gpu_nodes.hosts.node02.node_class`, `hardware.hcas.devices[3]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def shown(path: Path) -> str:
    """The path as a person at the present directory would write it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known word is near."""
    near = nearest(word, known)
    return f" (did you mean {near!r}?)" if near else ""


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """The known word that is most like `word`; empty when none has that `likeness` (0 to 1, as difflib counts)."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)), "")
