# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The baseline of a class's kernel log: where it lies, and whether what it says can be meant."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..documents.document import Document
from ..documents.problems import KeyPath, Problem, shown
from ..documents.schema import read_checked
from ..observe.log_template import template_of

DIRECTORY = "kernel_log"
# What a class has its baseline under.
KEY = "kernel_log"
# What all of fewer nodes say may be theirs alone.
LEAST_NODES = 3
# Of an entry with less text anything might be meant.
_LEAST_LETTERS = 3
_NUMBERS = re.compile("[0-9]+")


def add_baselines(classes: Mapping[str, dict[str, Any]], inventory: Path, known: Iterable[str]) -> list[Problem]:
    """Give each of `classes` its baseline, if it has one; everything that is wrong with the files beside the inventory.

    `known`: the names of all classes.
    """
    problems: list[Problem] = []
    names = set(known)
    for path in sorted((inventory / DIRECTORY).glob("*.yml")):
        if path.stem not in names:
            remedy = f"rename it to one of {sorted(names)}, or take it away"
            problems.append(Problem(shown(path), "", f"there is no node class {path.stem!r}", remedy))
            continue
        data, found = load_file(path)
        problems += found
        if data and path.stem in classes:
            classes[path.stem][KEY] = baseline_of(data)
    return problems


def load_file(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """What the file says; empty where there is none, or anything is wrong with it."""
    if not path.exists():
        return {}, []
    document, problems = read_checked(path, "kernel_log")
    if document is not None and not problems:
        problems = list(_of_content(document))
    return (document.data if document is not None and not problems else {}), problems


def baseline_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the checks ask for."""
    learned = data.get("learned") or {}
    templates, nodes = learned.get("templates") or {}, len(learned.get("nodes") or ())
    expected = {each for each, count in templates.items() if count >= max(nodes, LEAST_NODES)}
    return {
        "known": list(templates),
        "expected": [each for each in templates if each in expected],
        **{
            key: {each: value for each, value in (learned.get(key) or {}).items() if each in expected}
            for key in ("lines", "seconds")
        },
        "accepted": data.get("accepted") or [],
        "bad": data.get("bad") or [],
    }


def _of_content(document: Document) -> Iterator[Problem]:
    """What a schema cannot say."""
    for key in ("accepted", "bad"):
        for position, entry in enumerate(document.data.get(key) or ()):
            place: KeyPath = (key, position)
            yield from _of_pattern(document, (*place, "template"), entry["template"])
            try:
                datetime.date.fromisoformat(entry.get("expires", "2000-01-01"))
            except ValueError:
                message = f"{entry['expires']!r} is no day"
                yield document.problem((*place, "expires"), message, "write year-month-day, in quotes")


def _of_pattern(document: Document, place: KeyPath, pattern: str) -> Iterator[Problem]:
    masked = template_of(pattern.encode())
    if len(_NUMBERS.findall(masked)) < len(_NUMBERS.findall(pattern)):
        remedy = f"copy the template from the finding's evidence, or write {masked!r}"
        yield document.problem(place, f"{pattern!r} has a number, which no template has there", remedy)
    elif sum(letter.isalpha() for letter in pattern) < _LEAST_LETTERS:
        message = f"{pattern!r} would fit almost every line"
        yield document.problem(place, message, f"give at least {_LEAST_LETTERS} letters of the line")
