# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health policy of a site: where it lies, and whether what it says can be meant."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..catalog.checks import WAIVABLE
from ..catalog.remedies import refusal
from ..documents.document import Document
from ..documents.problems import KeyPath, Problem, did_you_mean
from ..documents.schema import read_checked

FILE = "health_policy.yml"


def load(inventory: Path, nodes: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """The policy beside the inventory, and everything that is wrong with it; empty where there is no file.

    `nodes`: all nodes of the site by name, each with its rack. What fits none is a mistake in a name.
    """
    path = inventory / FILE
    if not path.exists():
        return {}, []
    document, problems = read_checked(path, "health_policy")
    if document is not None and not problems:
        problems += _of_content(document, nodes)
    if document is None or problems:
        return {}, problems
    return document.data, []


def _of_content(document: Document, nodes: Mapping[str, str]) -> Iterator[Problem]:
    """What a schema cannot say."""
    for position, waiver in enumerate(document.data.get("waivers") or ()):
        place: KeyPath = ("waivers", position)
        yield from _of_check(document, (*place, "check"), waiver["check"])
        try:
            datetime.date.fromisoformat(waiver["expires"])
        except ValueError:
            message = f"{waiver['expires']!r} is no day"
            yield document.problem((*place, "expires"), message, "write year-month-day, in quotes")
        yield from _of_names(document, (*place, "nodes"), waiver.get("nodes") or (), nodes, "node")
    yield from _of_entries(document, "severity")
    yield from _of_entries(document, "remedies")
    for position, entry in enumerate(document.data.get("remedies") or ()):
        if entry["check"] in WAIVABLE and (why := refusal(entry["check"], tuple(entry["ladder"]))):
            yield document.problem(("remedies", position, "ladder"), why, "correct the ladder, or take the entry out")
    yield from _of_maintenance(document, nodes)


def _of_entries(document: Document, key: str) -> Iterator[Problem]:
    """Of entries of which each check may have one."""
    seen: set[str] = set()
    for position, entry in enumerate(document.data.get(key) or ()):
        place = (key, position, "check")
        yield from _of_check(document, place, entry["check"])
        if entry["check"] in seen:
            yield document.problem(place, f"{entry['check']!r} is there twice", "keep one entry")
        seen.add(entry["check"])


def _of_maintenance(document: Document, nodes: Mapping[str, str]) -> Iterator[Problem]:
    for position, window in enumerate(document.data.get("maintenance") or ()):
        place: KeyPath = ("maintenance", position)
        times = {key: _moment(window[key]) for key in ("from", "until")}
        for key in (key for key, moment in times.items() if moment is None):
            message = f"{window[key]!r} is no time"
            yield document.problem((*place, key), message, "write it as 2026-12-01T08:00+01:00, in quotes")
        if times["from"] and times["until"] and times["until"] <= times["from"]:
            yield document.problem((*place, "until"), "it ends before it begins", "correct one of the times")
        yield from _of_names(document, (*place, "nodes"), window.get("nodes") or (), nodes, "node")
        racks = set(nodes.values()) - {""}
        yield from _of_names(document, (*place, "racks"), window.get("racks") or (), racks, "rack")


def _moment(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def _of_names(
    document: Document, place: KeyPath, patterns: Sequence[str], names: Collection[str], kind: str
) -> Iterator[Problem]:
    for number, pattern in enumerate(patterns):
        if not any(fnmatchcase(name, pattern) for name in names):
            message = f"{pattern!r} is the name of no {kind}{did_you_mean(pattern, names)}"
            yield document.problem((*place, number), message, "correct it, or take it out")


def _of_check(document: Document, place: KeyPath, check: str) -> Iterator[Problem]:
    if check not in WAIVABLE:
        message = f"{check!r} is no check that a site can decide about{did_you_mean(check, WAIVABLE)}"
        yield document.problem(place, message, "correct the name, or take the entry out")
