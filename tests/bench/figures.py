# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a figure is, and how it is taken: floor and measured in turns, and the median of their ratios.

In turns, because a machine's speed changes while a bench runs (other work, clock rates, caches): two runs that
follow each other share what disturbs them, and their ratio does not show it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUNDS = 5


@dataclass(frozen=True)
class Cost:
    """Seconds of one action: by the clock, and of the processors of this machine (its children included)."""

    wall: float
    cpu: float


def cost_of(action: Callable[[], object]) -> Cost:
    before, start = _processor(), time.perf_counter()
    action()
    wall, after = time.perf_counter() - start, _processor()
    return Cost(wall, after - before)


def _processor() -> float:
    """Seconds of this process and of its children that have ended; finer than os.times, which counts hundredths."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def in_turns(*actions: Callable[[], object], rounds: int = ROUNDS) -> list[list[Cost]]:
    """The costs of each action, `rounds` of them, taken A B A B after one run each that warms caches."""
    for action in actions:
        action()
    taken: list[list[Cost]] = [[] for _action in actions]
    for _round in range(rounds):
        for action, costs in zip(actions, taken, strict=True):
            costs.append(cost_of(action))
    return taken


@dataclass(frozen=True)
class Figure:
    """What is measured over the floor that it cannot be faster than; `floor` has one cost, or one for each."""

    name: str
    floor_name: str
    measured: Sequence[Cost]
    floor: Sequence[Cost]
    aim: float | None = None

    def ratio(self, kind: str = "wall") -> float:
        """The median of the ratios of costs that were taken together."""
        floors = list(self.floor) * (len(self.measured) if len(self.floor) == 1 else 1)
        pairs = zip(self.measured, floors, strict=True)
        return float(statistics.median(getattr(mine, kind) / getattr(theirs, kind) for mine, theirs in pairs))

    @property
    def met(self) -> bool | None:
        return None if self.aim is None else self.ratio() <= self.aim

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "floor": self.floor_name,
            "ratio": round(self.ratio(), 3),
            "cpu_ratio": round(self.ratio("cpu"), 3),
            "aim": self.aim,
            "met": self.met,
            "seconds": [round(cost.wall, 3) for cost in self.measured],
            "floor_seconds": [round(cost.wall, 3) for cost in self.floor],
            "cpu_seconds": [round(cost.cpu, 3) for cost in self.measured],
            "floor_cpu_seconds": [round(cost.cpu, 3) for cost in self.floor],
        }

    def __str__(self) -> str:
        def middle(costs: Sequence[Cost], kind: str) -> float:
            return float(statistics.median(getattr(cost, kind) for cost in costs))

        aim = "" if self.aim is None else f"; aim {self.aim:g}: {'met' if self.met else 'missed'}"
        return (
            f"{self.name}: {self.ratio():.2f} x {self.floor_name} "
            f"({middle(self.measured, 'wall'):.2f} s / {middle(self.floor, 'wall'):.2f} s; processor "
            f"{middle(self.measured, 'cpu'):.2f} s / {middle(self.floor, 'cpu'):.2f} s){aim}"
        )


@dataclass
class Report:
    """Everything that one `make bench` found, in the order in which it was found; written after each part."""

    folder: Path
    figures: list[Figure] = field(default_factory=list)
    counts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    # Of one minute, before anything was measured: other work on the machine makes all figures rougher.
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def begin(self) -> None:
        self.say(f"{os.cpu_count()} processors, load {self.load:.1f} before the bench; ratios of seconds by the clock")

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        self.say(str(figure))

    def add_counts(self, name: str, counts: Mapping[str, Any], table: Sequence[str]) -> None:
        self.counts[name] = counts
        for line in table:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line and keep it. Both files are whole after each: a bench that breaks off leaves what it had."""
        print(line, flush=True)
        self.lines.append(line)
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "schema": 1,
            "processors": os.cpu_count(),
            "load_before": round(self.load, 2),
            "figures": [figure.to_dict() for figure in self.figures],
            "counts": self.counts,
        }
        (self.folder / "bench.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (self.folder / "bench.txt").write_text("\n".join(self.lines) + "\n", encoding="utf-8")
