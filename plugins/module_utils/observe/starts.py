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
# Three starts of a log with as many templates as are told apart.
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Start:
    """One start: by template how many lines there were, and after how many seconds the first came."""

    boot_id: str
    lines: Mapping[str, tuple[int, float]]


class Damaged(Exception):
    """The file tells nothing; says why."""


def start_of(log: Mapping[str, Any], boot_id: str, uptime: float) -> Start | None:
    """The start of this boot, None where the log has not all of it, or the node is still about it.

    `log` is what `read_kernel_log` tells.
    """
    templates, begins = log.get("templates"), log.get("first_us")
    if templates is None or log["truncated"] or log["first_sequence"] != 0 or begins is None:
        return None
    if uptime - begins / 1e6 < START_SECONDS:
        return None
    return Start(boot_id, lines_at_start(templates, begins))


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


def told(starts: tuple[Start, ...], boot_id: str) -> dict[str, Any]:
    """`start`, the lines of this boot's start, and `fewer`, by template the lines of this start and of those before.

    `start` is None where this one is not remembered; `fewer` where there are not two before to compare with.
    """
    if not starts or starts[0].boot_id != boot_id:
        return {"start": None, "fewer": None}
    now, *before = (start.lines for start in starts)
    fewer = None
    if len(before) == EARLIER:
        least = {each: min(start[each][0] for start in before) for each in before[0] if each in before[1]}
        counts = {each: (now[each][0] if each in now else 0, count) for each, count in least.items()}
        fewer = {each: list(pair) for each, pair in counts.items() if pair[0] < pair[1]}
    return {"start": {each: list(said) for each, said in now.items()}, "fewer": fewer}


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
