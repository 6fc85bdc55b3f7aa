# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as plain text, for a terminal that has nothing but `less`.

What came of the run, then a row for each finding of a node that is not well, with what was found and what to do below
it: the worst nodes first, and of a node the worst first. Of those that are well only the number is told.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..module_utils.findings import Verdict, worst
from .report_page import OUT, Page, clean, natural, view

WIDTH = 100
# What is longer sticks out of its column, and does not widen it for all.
COLUMN = 28
_HEAD = ("NODE", "STATE", "VERDICT", "CHECK", "COMPONENT", "OWNER")
_BADNESS = list(Verdict)
# Cells, summary, remedy.
_Row = tuple[Sequence[str], str, str]


def render(report: Mapping[str, Any]) -> str:
    """The text of a report document (schemas/report.schema.json)."""
    page, document = view(report), clean(report)
    labels = {count.state: count.label for count in page.counts}
    nodes = [(name, labels[node["state"]], _found(node)) for name, node in document["nodes"].items()]
    well = Counter(label for _name, label, found in nodes if not found)
    told = [each for each in (*nodes, ("site", "-", document["site"])) if each[2]]
    told.sort(key=lambda each: (-_badness(each[2]), natural(each[0])))
    rows = [row for each in told for row in _rows(*each)]
    return "\n".join([*_opening(page), *_table(rows), *_closing(well)]) + "\n"


def _opening(page: Page) -> Iterator[str]:
    """What came of the run, and what stopped it."""
    mode = " (check mode)" if page.check_mode else ""
    yield f"{page.playbook}{mode} {page.run}, {page.started}, {page.duration}: {page.headline}"
    counts = ", ".join(f"{count.count} {count.label}" for count in page.counts if count.count)
    yield from _wrapped(f"{counts or 'no node'}. {page.exit}")
    for stop in page.stops:
        where = f" on {stop.hosts}" if stop.hosts else ""
        yield from _wrapped(f"Stopped in {stop.phase} by the task {stop.task!r}{where}:")
        for line in stop.message.splitlines():
            yield from _wrapped(line, "  ")


def _closing(well: Mapping[str, int]) -> Iterator[str]:
    if well:
        yield ""
        yield "Without a finding: " + ", ".join(f"{count} {label}" for label, count in well.items()) + "."


def _found(node: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The findings of a node; of one that is out there is at least one, which says that nothing says why."""
    if node["findings"] or node["state"] not in OUT:
        return list(node["findings"])
    unknown = {"verdict": Verdict.UNKNOWN.value, "check": "-", "component": "-", "owner": "-", "remedy": ""}
    return [{**unknown, "summary": "nothing was found that says why; read the log of the run"}]


def _badness(findings: Sequence[Mapping[str, Any]]) -> int:
    return _BADNESS.index(worst(Verdict(item["verdict"]) for item in findings))


def _rows(name: str, state: str, findings: Sequence[Mapping[str, Any]]) -> Iterator[_Row]:
    """A row for each thing that is said, the worst first; what several findings say alike is said once."""
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for item in findings:
        alike.setdefault(tuple(str(item[key]) for key in ("verdict", "owner", "summary", "remedy")), []).append(item)
    for (verdict, owner, summary, remedy), items in sorted(alike.items(), key=lambda entry: -_badness(entry[1])):
        yield (name, state, verdict, _first(items, "check"), _first(items, "component"), owner), summary, remedy


def _first(items: Sequence[Mapping[str, Any]], key: str) -> str:
    """The first of the values, and how many others there are: `gpu:0 +7`."""
    values = list(dict.fromkeys(" ".join(str(item[key]).split()) for item in items))
    return values[0] if len(values) == 1 else f"{values[0]} +{len(values) - 1}"


def _table(rows: Sequence[_Row]) -> Iterator[str]:
    """The rows below their heads, each with what was found and what to do."""
    if not rows:
        return
    columns = zip(_HEAD, *(cells for cells, _summary, _remedy in rows), strict=True)
    widths = [min(COLUMN, max(map(len, column))) for column in columns]
    yield ""
    yield _line(_HEAD, widths)
    for cells, summary, remedy in rows:
        yield _line(cells, widths)
        yield from _wrapped(summary, "    ")
        if remedy:
            yield from _wrapped(f"-> {remedy}", "    ", "       ")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _wrapped(text: str, first: str = "", further: str = "") -> list[str]:
    """Lines of at most WIDTH; only a longer name or path is longer, so that it can be copied."""
    wrapper = textwrap.TextWrapper(
        WIDTH,
        initial_indent=first,
        subsequent_indent=further or first,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)
