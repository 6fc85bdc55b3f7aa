# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thing that is broken on purpose, and what became of it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KILLED, SURVIVED, NOT_APPLICABLE, BROKEN = "killed", "SURVIVED", "NOT APPLICABLE", "TESTS FAIL WITHOUT IT"
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Mutant:
    """One thing broken: in `file` the text `old`, which is there once, becomes `new`.

    `tests` (arguments of pytest) should notice. Where `role` is given, they choose among the tests of its Molecule
    scenario, which can notice by its converge already.
    """

    name: str
    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]
    role: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant; `by` is the test that failed, or why there was none."""

    name: str
    file: str
    what: str
    outcome: str
    by: str
    seconds: float


class NotApplicableError(Exception):
    """What the mutant breaks is not there, or is there more than once."""


class UnjudgedError(Exception):
    """Nothing is known of the mutant: its tests fail without it, its lab did not come up, or no test was chosen."""


@contextmanager
def broken(mutant: Mutant, tree: Path) -> Iterator[None]:
    """The tree with the mutant in it, and afterwards as it was."""
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(mutant.old) != 1 or mutant.old == mutant.new:
        raise NotApplicableError(f"what it breaks is there {text.count(mutant.old)} times, or is not changed")
    written = path.stat().st_mtime
    try:
        _put(path, text.replace(mutant.old, mutant.new), written + 2 + next(_NUMBERS))
        yield
    finally:
        _put(path, text, written)


def _put(path: Path, text: str, written: float) -> None:
    """Python tells compiled code of another text by time and size: two mutants of a second must not look alike."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (written, written))


def try_mutant(mutant: Mutant, noticed_by: Callable[[Mutant], str]) -> Outcome:
    """`noticed_by` names the test that fails with the mutant and passes without, or none: an empty text."""
    started = time.monotonic()
    try:
        by = noticed_by(mutant)
        outcome = KILLED if by else SURVIVED
    except NotApplicableError as error:
        outcome, by = NOT_APPLICABLE, str(error)
    except UnjudgedError as error:
        outcome, by = BROKEN, str(error)
    seconds = round(time.monotonic() - started, 1)
    print(f"{outcome:14} {mutant.name} ({seconds:.0f} s) {by}", flush=True)
    return Outcome(mutant.name, mutant.file, mutant.what, outcome, by, seconds)
