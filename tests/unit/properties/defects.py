# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A defect of a machine that is otherwise well, and the commonest ways to spoil one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.unit.properties.machine import Machine

UNKNOWN = ("unknown",)


@dataclass(frozen=True)
class Defect:
    """`check` must say one of `verdicts` about a machine that `spoil` has been at."""

    check: str
    name: str
    spoil: Callable[[Machine, Random], None]
    verdicts: tuple[str, ...] = ("fail",)

    def __str__(self) -> str:
        return f"{self.check}: {self.name}"


def gpu(key: str, value: Any) -> Callable[[Machine, Random], None]:
    """One GPU, whichever, has another value."""

    def spoil(machine: Machine, random: Random) -> None:
        random.choice(machine.gpus)[key] = value(random) if callable(value) else value

    return spoil


def tool(name: str, printed: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.tools[name] = printed(random) if callable(printed) else printed

    return spoil


def put(**values: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        for name, value in values.items():
            setattr(machine, name, value)

    return spoil


def unit(name: str, state: str | None) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        machine.units[name] = state or ""

    return spoil


def forget(*paths: str) -> Callable[[Machine, Random], None]:
    """Files below one of these folders cannot be found."""

    def spoil(machine: Machine, _random: Random) -> None:
        for path in [path for path in machine.files if path.startswith(paths)]:
            del machine.files[path]

    return spoil


def file(path: str, content: str) -> Callable[[Machine, Random], None]:
    """A file says something else."""

    def spoil(machine: Machine, _random: Random) -> None:
        machine.files[path] = content

    return spoil
