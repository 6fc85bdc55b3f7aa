# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of checks: a page for each, made of the catalogue, and a list of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.firstlight.cluster.plugins.module_utils.catalog import areas, checks
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.model import Check

from lab.fault_kinds import KINDS

_SCHEMA = Path(__file__).resolve().parents[1] / "plugins/module_utils/schemas/node_class.schema.json"
_CLASS = json.loads(_SCHEMA.read_text(encoding="utf-8"))["properties"]
_THRESHOLDS = "|".join(sorted(_CLASS["thresholds"]["properties"], key=len, reverse=True))


def check_pages() -> dict[str, str]:
    """Text by name of the page; `index` is the list. In the order of the catalogue."""
    pages = {check.id: _page(check) for check in checks.CHECKS.values()}
    return {"index": _index(), **pages}


def _page(check: Check) -> str:
    """What it reads, when it fails, what to do, who owns it; then what a class sets for it, and how a lab shows it."""
    lines = [
        f"- **What it reads:** {_with_code(check.source)}",
        f"- **When it fails:** {_with_code(_with_links(check.fails))}",
        f"- **What to do:** {_with_code(check.remedy)}",
        f"- **Owner:** {check.owner}",
        f"- **At worst:** {check.severity}",
    ]
    lines.append(f"- **Phase:** {check.phase}")
    if check.reads:
        lines.append(f"- **Readers:** {_quoted(check.reads)} of `plugins/module_utils/observe`")
    if check.needs:
        lines.append(f"- **Expected where** the [node class](../../node_class.md) has {_quoted(check.needs)}")
    if check.id in checks.NODE_HEALTH and check.id != "host.reachable":
        lines.append(
            f"- **Left out** by a class with `{{id: {check.id}, reason: ...}}` in `checks.exclude`: each pass tells so"
        )
    told = [
        f"`python -m lab fault NODE {kind.name}`: {kind.summary}" for kind in KINDS.values() if kind.check == check.id
    ]
    if told:
        lines += ["", "## To see it in a [lab](../../lab.md)", "", *(f"- {each}" for each in told)]
    return "\n".join([f"# {check.id}", "", f"{check.title}.", "", *lines, ""])


def _with_links(fails: str) -> str:
    """The sentences with their thresholds as links to where their defaults stand, and keys of the class as such."""
    keyed = re.sub(rf"\b((?:{'|'.join(_CLASS)})(?:\.\w+)+)", r"`\1`", fails)
    return re.sub(rf"\b((?:{_THRESHOLDS})(?:\.(?:warn|fail))?)\b", r"[`\1`](../thresholds.md)", keyed)


def _with_code(text: str) -> str:
    """The text with names of variables and files of the kernel set as such."""
    return re.sub(r"`[^`]*`|\b[A-Za-z]\w*_\w+\b", lambda found: f"`{found[0].strip('`')}`", text)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _index() -> str:
    """The checks of node_health by area, then those of runs by phase."""
    text = ["# Checks", "", str(checks.__doc__).partition("\n\n")[2].strip(), ""]
    for area in areas.AREAS:
        title = str(area.__doc__).strip().removeprefix("Health checks of ").rstrip(".")
        text += _section(f"Of a node: {title}", area.CHECKS)
    others = [check for check in checks.CHECKS.values() if check.id not in checks.NODE_HEALTH]
    for phase in dict.fromkeys(check.phase for check in others):
        text += _section(f"Of a run: phase {phase}", [check for check in others if check.phase == phase])
    every = "\n".join(checks.CHECKS)
    return "\n".join([*text, "```{toctree}", ":hidden:", "", every, "```", ""])


def _section(title: str, members: Iterable[Check]) -> list[str]:
    rows = [f"| [{check.id}]({check.id}.md) | {check.title} | {check.owner} | {check.severity} |" for check in members]
    return [f"## {title}", "", "| check | what holds | owner | at worst |", "| --- | --- | --- | --- |", *rows, ""]
