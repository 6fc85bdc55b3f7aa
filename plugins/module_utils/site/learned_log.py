# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The baseline of a class's kernel log, as healthy nodes have it, and as a file for people. Pure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..observe.starts import lines_at_start

with contextlib.suppress(ImportError):
    # A node never runs this, and Ansible brings it to the controller.
    import yaml

_HEAD = """---
# What the kernel log of the class's nodes says. `accepted` and `bad` are for people; what they write stays.
"""
_NOTE = """# Written by learn_kernel_log.yml: by template of a line how many of the nodes said it while they started. Of
# what all said: how many lines, where all had as many; and between which seconds after the start the first came.
"""
# The block, with what was written before it, up to the next line that does not belong to it.
_BLOCK = re.compile(rf"^(?:{re.escape(_NOTE)})?learned:.*\n?(?:(?:[ \t-].*)?\n|[ \t-].*\Z)*", re.MULTILINE)


# By template how many lines a start had of it, and after how many seconds the first came.
_Start = Mapping[str, tuple[int, float]]


class Unfit(Exception):
    """From this node nothing is learned; says why."""


@dataclass(frozen=True)
class Reading:
    """What one log says: at the start, with the number of lines and the second of the first; and later.

    `whole` where the log still has the start.
    """

    whole: bool
    at_start: Mapping[str, tuple[int, float]]
    later: frozenset[str]


def reading_of(observation: Mapping[str, Any]) -> Reading:
    """Raises Unfit where the log was not read, or not all of it."""
    result = (observation.get("readers") or {}).get("kernel_log") or {}
    log = result.get("data") or {}
    templates = log.get("templates")
    if not isinstance(templates, Mapping):
        raise Unfit(f"its kernel log was not read: {result.get('error') or 'it tells no templates'}")
    if log.get("truncated"):
        raise Unfit(f"its kernel log was read in part only: {log['truncated']}")
    whole = log.get("first_sequence") == 0
    at_start = lines_at_start(templates, log.get("first_us") or 0) if whole else {}
    return Reading(whole, at_start, frozenset(templates) - frozenset(at_start))


def learned_of(known: Mapping[str, Any], readings: Mapping[str, Reading]) -> dict[str, Any]:
    """`known`, what a file has under `learned`, and what the nodes of `readings` say by now.

    A node counts once. One that was learned from before takes nothing from a template's number, unless the template
    was every node's, and is no longer its.
    """
    nodes = list(known.get("nodes") or ())
    counts: dict[str, int] = dict(known.get("templates") or {})
    everywhere = {template for template, count in counts.items() if count and count == len(nodes)}
    again = {node for node in readings if node in nodes}
    for node, reading in sorted(readings.items()):
        for template in reading.at_start:
            if node not in again or template not in (known.get("templates") or {}):
                counts[template] = counts.get(template, 0) + 1
        for template in reading.later:
            counts.setdefault(template, 0)
        if reading.whole and node in again:
            for template in everywhere - frozenset(reading.at_start):
                counts[template] -= 1
    nodes += [node for node, reading in readings.items() if reading.whole and node not in again]
    common = {template for template, count in counts.items() if count and count == len(nodes)}
    starts = [reading.at_start for _node, reading in sorted(readings.items()) if reading.whole]
    # Of a line that earlier nodes said, what they did not agree about stays open.
    earlier = frozenset(known.get("templates") or ())
    return {
        "nodes": sorted(nodes),
        "templates": dict(sorted(counts.items())),
        "lines": _same(known.get("lines") or {}, starts, common, earlier),
        "seconds": _span(known.get("seconds") or {}, starts, common, earlier),
    }


def _same(
    known: Mapping[str, int], starts: Sequence[_Start], common: Collection[str], earlier: Collection[str]
) -> dict[str, int]:
    """How many lines of a template every start has, where all have as many, and more than one."""
    same = {}
    for template in sorted(common):
        counts = {start[template][0] for start in starts if template in start}
        if template in earlier:
            counts.add(known.get(template, 0))
        if len(counts) == 1 and min(counts) > 1:
            same[template] = min(counts)
    return same


def _span(
    known: Mapping[str, list[float]], starts: Sequence[_Start], common: Collection[str], earlier: Collection[str]
) -> dict[str, list[float]]:
    """Between which seconds after the start the first line of a template came, over all starts."""
    span = {}
    for template in sorted(common):
        seconds = [start[template][1] for start in starts if template in start] + known.get(template, [])
        if seconds and (template in known or template not in earlier):
            span[template] = [min(seconds), max(seconds)]
    return span


def text_of(before: str, learned: Mapping[str, Any]) -> str:
    """The file `before`, or a new one where it is empty, with `learned`; all else in it stays as it was."""
    dumped = yaml.safe_dump({"learned": dict(learned)}, sort_keys=False, allow_unicode=True, width=10**6)
    kept = before or _HEAD
    found = _BLOCK.search(kept)
    if not found:
        return f"{kept.rstrip()}\n{_NOTE}{dumped}"
    rest = kept[found.end() :]
    return f"{kept[: found.start()]}{_NOTE}{dumped}{rest}"
