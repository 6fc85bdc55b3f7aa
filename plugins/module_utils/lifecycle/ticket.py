# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets: what people need to mend what no remedy mends, as JSON and as Markdown. Pure.

A ticket is about one part of one node, or about one defect that many nodes share. The ledger remembers which are open,
so that a later run writes none twice; one is closed once none of its findings is open any longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OPENED, CLOSED = "ticket_opened", "ticket_closed"
SHARED = "alike-"
# What of a node's past a ticket tells, the newest last, and how many lines of evidence.
_PAST = 20
_LINES = 40


def open_tickets(actions: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """By group the run that opened a ticket which nothing has closed; `actions` of one node, oldest first."""
    found: dict[str, str] = {}
    for action in actions:
        if action["action"] == OPENED:
            found[str(action["detail"])] = str(action["run"])
        elif action["action"] == CLOSED:
            found.pop(str(action["detail"]), None)
    return found


def node_ticket(
    case: Mapping[str, Any],
    *,
    run: str,
    node: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    actions: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]],
    files: Sequence[str],
) -> dict[str, Any]:
    """The ticket of a case (`node`, `group`, `findings`). `node` has serial, class, rack and unit of the roster."""
    findings = [dict(finding) for finding in case["findings"]]
    components = {str(finding["component"]).partition("/")[0] for finding in findings}
    return {
        "schema": 1,
        "id": f"{case['node']}-{case['group']}",
        "run": run,
        "node": case["node"],
        **{key: str(node.get(key) or "") for key in ("serial", "class", "rack", "unit")},
        "group": case["group"],
        "owners": _owners(findings),
        "findings": findings,
        "parts": [dict(part) for part in parts if part.get("component") in components],
        "actions": [dict(action) for action in actions][-_PAST:],
        "history": [dict(step) for step in history][-_PAST:],
        "files": sorted(files),
    }


def shared_ticket(check: str, why: str, nodes: Mapping[str, Mapping[str, Any]], *, run: str) -> dict[str, Any]:
    """The ticket of a defect that `nodes` share; by node its finding."""
    return {
        "schema": 1,
        "id": f"{SHARED}{check}",
        "run": run,
        "check": check,
        "why": why,
        "owners": _owners(nodes.values()),
        "nodes": {node: dict(finding) for node, finding in nodes.items()},
    }


def _owners(findings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(finding["owner"]) for finding in findings if finding.get("owner")))


def markdown(ticket: Mapping[str, Any]) -> str:
    """A ticket of either kind, for people."""
    return "\n".join(_of_many(ticket) if "nodes" in ticket else _of_node(ticket)) + "\n"


def _of_node(ticket: Mapping[str, Any]) -> list[str]:
    place = ", ".join(f"{key} {ticket[key]}" for key in ("rack", "unit") if ticket[key])
    lines = [
        f"# {ticket['node']}: {ticket['findings'][0]['summary']}",
        "",
        *_table(
            ("", ""),
            [
                ("For", ", ".join(ticket["owners"])),
                ("Node", ticket["node"]),
                ("Serial number", ticket["serial"] or "not known"),
                ("Place", place or "not known"),
                ("Class", ticket["class"]),
                ("Run", ticket["run"]),
            ],
        ),
        "",
        "## Findings",
    ]
    for finding in ticket["findings"]:
        lines += ["", *_finding(finding)]
    if ticket["parts"]:
        rows = [[part.get(key) for key in ("kind", "slot", "serial", "model", "firmware")] for part in ticket["parts"]]
        lines += ["", "## Parts", "", *_table(("kind", "slot", "serial number", "model", "firmware"), rows)]
    if ticket["actions"]:
        rows = [[action.get(key) for key in ("at", "action", "detail", "operator")] for action in ticket["actions"]]
        lines += ["", "## What was done before", "", *_table(("when", "what", "details", "by"), rows)]
    if ticket["history"]:
        rows = [[step.get(key) for key in ("at", "to_state", "reason", "operator")] for step in ticket["history"]]
        lines += ["", "## Where the node stood", "", *_table(("when", "state", "reason", "by"), rows)]
    lines += ["", "## Files", ""]
    return lines + ([f"* `{file}`" for file in ticket["files"]] or ["None: nothing could be read from the node."])


def _of_many(ticket: Mapping[str, Any]) -> list[str]:
    rows = [[node, finding["component"], finding["summary"]] for node, finding in ticket["nodes"].items()]
    return [
        f"# {ticket['check']} on {len(ticket['nodes'])} nodes",
        "",
        f"{ticket['why']}. Nothing was done to the nodes for it.",
        "",
        *_table(("", ""), [("For", ", ".join(ticket["owners"])), ("Run", ticket["run"])]),
        "",
        *_table(("node", "part", "finding"), rows),
    ]


def _finding(finding: Mapping[str, Any]) -> list[str]:
    lines = [f"### {finding['verdict']} {finding['check']} {finding['component']}", "", str(finding["summary"]), ""]
    lines += [
        f"* {key}: `{json.dumps(finding[key], sort_keys=True)}`"
        for key in ("observed", "expected")
        if finding.get(key) is not None
    ]
    if finding.get("remedy"):
        lines.append(f"* remedy: {finding['remedy']}")
    if finding.get("at"):
        lines.append(f"* found: {finding['at']} in run {finding.get('run')}, phase {finding.get('phase')}")
    shown = json.dumps(finding.get("evidence") or {}, indent=1, sort_keys=True).splitlines()
    if finding.get("evidence"):
        lines += ["", "```json", *shown[:_LINES], *(["…"] if len(shown) > _LINES else []), "```"]
    return lines


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    told = [[_cell(value) for value in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (list(head), ["---"] * len(head), *told)]


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).replace("|", "\\|").split())
