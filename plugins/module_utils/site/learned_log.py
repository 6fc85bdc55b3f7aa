# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The baseline of a class's kernel log, as healthy nodes have it, and as a file for people. Pure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..catalog.health.kernel_log import BOOT_SECONDS

with contextlib.suppress(ImportError):
    # A node never runs this, and Ansible brings it to the controller.
    import yaml

_HEAD = """---
# What the kernel log of the class's nodes says. `accepted` and `bad` are for people; what they write stays.
"""
_NOTE = """# Written by learn_kernel_log.yml: by template of a line how many of the nodes said it while they started.
"""
# The block, with what was written before it, up to the next line that does not belong to it.
_BLOCK = re.compile(rf"^(?:{re.escape(_NOTE)})?learned:.*\n?(?:(?:[ \t-].*)?\n|[ \t-].*\Z)*", re.MULTILINE)


class Unfit(Exception):
    """From this node nothing is learned; says why."""


@dataclass(frozen=True)
class Reading:
    """What one log says: at the start, and later; `whole` where it still has the start."""

    whole: bool
    at_start: frozenset[str]
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
    until = (log.get("first_us") or 0) + BOOT_SECONDS * 1_000_000
    at_start = {each for each, (_count, at, _line) in templates.items() if whole and at is not None and at <= until}
    return Reading(whole, frozenset(at_start), frozenset(templates) - at_start)


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
            for template in everywhere - reading.at_start:
                counts[template] -= 1
    nodes += [node for node, reading in readings.items() if reading.whole and node not in again]
    return {"nodes": sorted(nodes), "templates": dict(sorted(counts.items()))}


def text_of(before: str, learned: Mapping[str, Any]) -> str:
    """The file `before`, or a new one where it is empty, with `learned`; all else in it stays as it was."""
    dumped = yaml.safe_dump({"learned": dict(learned)}, sort_keys=False, allow_unicode=True, width=10**6)
    kept = before or _HEAD
    found = _BLOCK.search(kept)
    if not found:
        return f"{kept.rstrip()}\n{_NOTE}{dumped}"
    rest = kept[found.end() :]
    return f"{kept[: found.start()]}{_NOTE}{dumped}{rest}"
