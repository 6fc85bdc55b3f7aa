# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember on the node what the kernel log said while the node started: at this start, and at the two before.

The kernel forgets its oldest lines first, so that a node that is long up has no beginning any more. And a node may come
back from a restart worse than before: then it says less than it did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .log_template import START_SECONDS

SCHEMA = 1
# What came at two starts and not at the third did not come by chance alone.
EARLIER = 2
# More than three starts have, of a log with as many and as long templates as are told apart.
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Start:
    """One start: by template how many lines there were, and after how many seconds the first came."""

    boot_id: str
    lines: Mapping[str, tuple[int, float]]


class Damaged(Exception):
    """The file tells nothing; says why."""


def start_of(log: Mapping[str, Any], boot_id: str) -> Start | None:
    """The start of this boot as far as it has come, None where the log has lost it or was not read to the end.

    `log` is what `read_kernel_log` tells.
    """
    if log["truncated"] or log["first_sequence"] != 0 or log["first_us"] is None:
        return None
    return Start(boot_id, lines_at_start(log["templates"], log["first_us"]))


def is_over(log: Mapping[str, Any], uptime: float) -> bool:
    """Whether the start lies behind the node, so that nothing is added to it any more."""
    return uptime - (log["first_us"] or 0) / 1e6 >= START_SECONDS


def lines_at_start(templates: Mapping[str, Any], begins: int) -> dict[str, tuple[int, float]]:
    """By template how many lines came at the start, and the second of the first; of a log that has it all."""
    return {
        template: (at_start, round((first - begins) / 1e6, 3))
        for template, (_count, first, _line, at_start) in templates.items()
        if at_start and first is not None
    }


def update(starts: tuple[Start, ...], start: Start | None) -> tuple[Start, ...]:
    """All that is remembered, the newest first. What was remembered of this boot stays: later lines are no start."""
    if start is None or (starts and starts[0].boot_id == start.boot_id):
        return starts
    return (start, *starts)[: 1 + EARLIER]


def told(starts: tuple[Start, ...], boot_id: str, seen: Start | None) -> dict[str, Any]:
    """`start`, the remembered lines of this boot's start, None where nobody knew them in time.

    `fewer`, by template the lines of this start, remembered or else `seen`, and of both before, where it has fewer;
    None where nobody knows this start. `earlier`, how many starts before this one are remembered.
    """
    remembered = next((start for start in starts if start.boot_id == boot_id), None)
    before = [start.lines for start in starts if start.boot_id != boot_id][:EARLIER]
    this, fewer = remembered or seen, None
    if this is not None:
        least = {}
        if len(before) == EARLIER:
            least = {each: min(start[each][0] for start in before) for each in before[0] if each in before[1]}
        counts = {each: (this.lines[each][0] if each in this.lines else 0, count) for each, count in least.items()}
        fewer = {each: list(pair) for each, pair in counts.items() if pair[0] < pair[1]}
    start = None if remembered is None else {each: list(said) for each, said in remembered.lines.items()}
    return {"start": start, "fewer": fewer, "earlier": len(before)}


def load(path: Path) -> tuple[Start, ...]:
    """What was remembered; raises Damaged, and OSError. That there is no file yet is no trouble."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return ()
    try:
        read = json.loads(content)
        if read["schema"] != SCHEMA:
            raise Damaged(f"its schema is {read['schema']!r:.40}, not {SCHEMA}")
        return tuple(
            Start(str(boot_id), {str(each): (int(count), float(second)) for each, (count, second) in lines.items()})
            for boot_id, lines in read["starts"]
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged("it is damaged") from error


def content_of(starts: tuple[Start, ...]) -> dict[str, Any]:
    """As `load` reads it."""
    return {"schema": SCHEMA, "starts": [[start.boot_id, dict(start.lines)] for start in starts]}
