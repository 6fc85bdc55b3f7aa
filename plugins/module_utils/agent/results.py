# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the passes of the agent have said, and what of it holds."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..findings import Finding, missing_checks
from ..judge.agent import age_of
from ..observe.agent import SCHEMA


class Stale(Exception):
    """What the agent has left tells nothing of now; says why."""


@dataclass(frozen=True)
class Now:
    """The moment by which passes are old: the boot that runs, and for how long it has."""

    boot_id: str
    uptime: float


@dataclass(frozen=True)
class Pass:
    """One pass that holds: of this boot and of the class of today. `age` in seconds."""

    level: str
    age: float
    read: Mapping[str, Any]
    findings: tuple[Finding, ...]


def holding(passes: Mapping[str, Mapping[str, Any] | None], now: Now, class_sha256: str) -> list[Pass]:
    """Those of `passes` that tell something of now, the youngest first.

    Not what an earlier boot or another class said. Raises ValueError for findings that are none.
    """
    found = []
    for level, read in passes.items():
        age = None if read is None else age_of(read, now.boot_id, now.uptime)
        if read is not None and age is not None and read["class_sha256"] == class_sha256:
            found.append(Pass(level, age, read, tuple(Finding.from_dict(each) for each in read["findings"])))
    return sorted(found, key=lambda each: each.age)


def merged(passes: Iterable[Pass]) -> list[tuple[Pass, Finding]]:
    """What holds of each check: what the first of `passes` said that judged it. In the order of the longest pass."""
    ordered = list(passes)
    by_check: dict[str, Pass] = {}
    for each in ordered:
        for found in each.findings:
            by_check.setdefault(found.check, each)
    longest = max(ordered, key=lambda each: len(each.findings), default=None)
    checks = dict.fromkeys(found.check for each in [longest, *ordered] if each for found in each.findings)
    of = {
        check: [(by_check[check], found) for found in by_check[check].findings if found.check == check]
        for check in checks
    }
    return [pair for pairs in of.values() for pair in pairs]


def in_place_of_a_pass(
    passes: Mapping[str, Mapping[str, Any] | None],
    now: Now,
    class_sha256: str,
    expected: Iterable[str],
    max_age: float,
) -> list[Finding]:
    """The findings of the node, where what the agent has left is as good as a pass of now.

    Raises Stale where a check is expected of which nothing, or nothing of the last `max_age` seconds, is known.
    """
    held = holding(passes, now, class_sha256)
    young = [each for each in held if each.age <= max_age]
    wanted = list(expected)
    findings = [found for _pass, found in merged(young) if found.check in wanted]
    missing = missing_checks(wanted, findings)
    if missing:
        told = ", ".join(f"the {each.level} pass is {each.age:.0f} s old" for each in held)
        raise Stale(
            f"{len(missing)} of {len(wanted)} checks were not judged in the last {max_age:g} s"
            f" in this boot and by this class ({told or 'no pass holds'})"
        )
    return findings


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Passes of different levels write one after the other: metrics are made of both. Raises OSError."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_pass(folder: Path, level: str, content: Mapping[str, Any]) -> None:
    """Replace what the last pass of `level` said, in one step, under the lock of the folder. Raises OSError."""
    replace(folder / f"{level}.json", json.dumps({"schema": SCHEMA, **content}, separators=(",", ":")))


def replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, whole. Raises OSError."""
    incoming = path.with_name(f".{path.name}.new")
    incoming.unlink(missing_ok=True)
    handle = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        # The umask of whoever runs the pass does not decide who may read it.
        os.fchmod(handle, 0o644)
        stream.write(text)
    incoming.replace(path)
