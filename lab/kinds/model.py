# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kind of fault is, and how values of GPUs are changed and given back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import machine_view
from lab.engine import Engine
from lab.machines import Machine
from lab.site import Lab
from lab.vendor import gpus

Values = Mapping[str, int]


@dataclass(frozen=True)
class Target:
    """The node that a fault is for."""

    lab: Lab
    machine: Machine
    engine: Engine

    @property
    def directory(self) -> Path:
        return self.lab.machine_directory(self.machine.name)


@dataclass(frozen=True)
class Parameter:
    """A number; `below` says from the machine where its range ends."""

    name: str
    default: int
    least: int
    below: Callable[[Machine], int]


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `needs_system`: its operating system must be running, both to inject and to heal."""

    name: str
    check: str
    summary: str
    inject: Callable[[Target, Values], None]
    heal: Callable[[Target, Values], None]
    parameters: tuple[Parameter, ...] = ()
    needs_system: bool = False


def change_view(name: str, text: Callable[[Machine, str], str]) -> Callable[[Target, Values], None]:
    """Give a file of the machine's view the content that `text` makes for the machine of what is there."""

    def change(target: Target, values: Values) -> None:
        now = (target.directory / name).read_text(encoding="utf-8")
        machine_view.change(target.directory, name, text(target.machine, now))

    return change


GPU = Parameter("gpu", 0, 0, lambda machine: machine.gpus)
HCA = Parameter("hca", 0, 0, lambda machine: machine.hcas)


def set_gpu(changes: Mapping[str, Any]) -> Callable[[Target, Values], None]:
    """Give values of a GPU, by their keys in its state, other ones."""

    def change(target: Target, values: Values) -> None:
        state = gpus.read(target.directory)
        state[values["gpu"]].update(changes)
        gpus.write(target.directory, state)

    return change


def reset_gpu(*keys: str) -> Callable[[Target, Values], None]:
    """Give the named values of a GPU the ones that it was made with."""

    def change(target: Target, values: Values) -> None:
        state = gpus.read(target.directory)
        new = gpus.healthy(target.machine.gpus, target.machine.serial)[values["gpu"]]
        state[values["gpu"]].update({key: new[key] for key in keys})
        gpus.write(target.directory, state)

    return change
