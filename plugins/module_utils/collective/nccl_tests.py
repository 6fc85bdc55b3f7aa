# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the output of nccl-tests (`all_reduce_perf` and its sisters), line by line.

The number of columns before the times differs between collectives and versions (`redop` and `root`
come and go, alltoall leaves one empty), so rows are read from both ends: size and count first, two
groups of time, algbw, busbw and errors last. Lines of NCCL's own logging between the rows are passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_RANK = re.compile(
    r"#\s+Rank\s+(?P<rank>[0-9]{1,9})\s+(?:Group\s+\d+\s+)?Pid\s+\d+\s+on\s+(?P<host>\S+)"
    r"\s+device\s+(?P<device>[0-9]{1,9})"
    r"\s+\[(?P<bus>[^\]]*)\]\s*(?P<model>.*)"
)
_OUT_OF_BOUNDS = re.compile(r"#\s*Out of bounds values\s*:\s*(?P<count>[0-9]{1,19})\b\s*(?P<word>\w*)")
_AVERAGE = re.compile(r"#\s*Avg bus bandwidth\s*:\s*(?P<value>\S+)\s*(?P<word>\w*)")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
# What int() takes: of other scripts' digits and of thousands of digits it takes neither.
_INTEGER = re.compile(r"[0-9]{1,19}")
# What nccl-tests, NCCL, MPI and ssh say when a run breaks. Only used to tell people; a run is judged
# by its numbers, its exit status and whether it came to its end.
_FAILURE = re.compile(
    r"Test (?:NCCL |CUDA |MPI )?failure|NCCL WARN|unhandled (?:cuda|system) error"
    r"|(?:mpi|prte)run (?:noticed|was unable|detected)|(?:O|P)RTE (?:was unable|has lost|does not know)"
    r"|not enough slots"
    r"|exited on signal|non-zero (?:status|exit)|Permission denied|Host key verification failed"
    r"|Could not resolve|Connection (?:refused|timed out|closed|reset)|No route to host"
    r"|command not found|No such file or directory|unreachable|could not be executed",
    re.IGNORECASE,
)
_FAILURES_KEPT = 20


@dataclass(frozen=True)
class Rank:
    """One rank of the run: where it ran and on which device."""

    rank: int
    host: str
    device: int
    bus_id: str
    model: str


@dataclass(frozen=True)
class Timing:
    """One measurement: microseconds, GB/s, and the number of wrong values (None: not validated)."""

    time_us: float
    algbw: float
    busbw: float
    wrong: int | None


@dataclass(frozen=True)
class Row:
    """One message size in bytes. A column that the collective does not have is None."""

    size: int
    count: int
    out_of_place: Timing | None
    in_place: Timing | None

    @property
    def busbw(self) -> float | None:
        """The better of both columns, GB/s: disturbance makes a run slower, never faster."""
        return max((timing.busbw for timing in (self.out_of_place, self.in_place) if timing), default=None)

    @property
    def wrong(self) -> int:
        return sum(timing.wrong or 0 for timing in (self.out_of_place, self.in_place) if timing)


@dataclass
class Output:
    """What a run printed. `complete` only when the closing lines were seen."""

    ranks: list[Rank] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    average_busbw: float | None = None
    out_of_bounds: int | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return bool(self.rows) and self.average_busbw is not None and self.out_of_bounds is not None

    @property
    def busbw(self) -> float | None:
        """Bus bandwidth in GB/s at the largest size, or None when nothing was measured there."""
        largest = max(self.rows, key=lambda row: row.size, default=None)
        return largest.busbw if largest else None

    @property
    def wrong(self) -> int:
        """Wrong values that were counted, in the rows or by the closing line."""
        return max(sum(row.wrong for row in self.rows), self.out_of_bounds or 0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "ranks": len(self.ranks),
            "sizes": len(self.rows),
            "busbw_gbps": self.busbw,
            "average_busbw_gbps": self.average_busbw,
            "wrong": self.wrong,
            "complete": self.complete,
            "failures": list(self.failures),
        }


class Parser:
    """Takes lines one at a time and keeps only what they mean, so that debug output of any size is fine."""

    def __init__(self) -> None:
        self.output = Output()

    def feed(self, line: str) -> None:
        text = line.strip()
        if not text:
            return
        if text.startswith("#"):
            self._comment(text)
        elif text[0].isdigit() and (row := _row(text.split())) is not None:
            self.output.rows.append(row)
        elif "NCCL INFO" not in text and _FAILURE.search(text):
            self._failure(text)

    def _comment(self, text: str) -> None:
        if match := _RANK.match(text):
            self.output.ranks.append(
                Rank(
                    int(match["rank"]),
                    match["host"],
                    int(match["device"]),
                    match["bus"].strip(),
                    match["model"].strip(),
                )
            )
        elif match := _OUT_OF_BOUNDS.match(text):
            self.output.out_of_bounds = int(match["count"])
            if match["word"] == "FAILED":
                self._failure(text)
        elif match := _AVERAGE.match(text):
            self.output.average_busbw = _number(match["value"])
            if match["word"] == "FAILED":
                self._failure(text)

    def _failure(self, text: str) -> None:
        if len(self.output.failures) < _FAILURES_KEPT and text not in self.output.failures:
            self.output.failures.append(text[:500])


def parse(lines: Iterable[str]) -> Output:
    """Read a whole output."""
    parser = Parser()
    for line in lines:
        parser.feed(line)
    return parser.output


def _number(token: str) -> float | None:
    if not _NUMBER.fullmatch(token):
        return None
    value = float(token)
    return value if math.isfinite(value) and value >= 0 else None


def _timing(tokens: list[str]) -> Timing | None:
    time_us, algbw, busbw = (_number(token) for token in tokens[:3])
    if time_us is None or algbw is None or busbw is None:
        return None
    return Timing(time_us, algbw, busbw, _wrong(tokens[3]))


def _wrong(token: str) -> int | None:
    """Older versions print the largest deviation here (`2e-07`), which is no count of wrong values."""
    return int(token) if _INTEGER.fullmatch(token) else None


def _row(tokens: list[str]) -> Row | None:
    # size, count, type, then redop and root where the collective has them, then twice four columns.
    if not 11 <= len(tokens) <= 13 or not (_INTEGER.fullmatch(tokens[0]) and _INTEGER.fullmatch(tokens[1])):
        return None
    if tokens[2].isdigit() or not all(_is_cell(token) for token in tokens[-8:]):
        return None
    return Row(int(tokens[0]), int(tokens[1]), _timing(tokens[-8:-4]), _timing(tokens[-4:]))


def _is_cell(token: str) -> bool:
    return token in ("N/A", "nan", "-nan", "inf") or _NUMBER.fullmatch(token) is not None
