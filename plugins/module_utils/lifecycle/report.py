# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: one JSON document that says of every node how it came out, and why.

Its shape is fixed by schemas/report.schema.json.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from ..findings import SCHEMA_VERSION, Finding, Verdict
from .run import BEFORE, Recorded, RunDirectory

ADMITTED = "admitted"
SET_ASIDE = "set_aside"
UNREACHABLE = "unreachable"
DEFERRED = "deferred"
UNJUDGED = "unjudged"
STATES = (ADMITTED, SET_ASIDE, UNREACHABLE, DEFERRED, UNJUDGED)


def passed_words(phases: Sequence[str]) -> tuple[str, str]:
    """What a node is that passed, in a sentence and beside its count. Only a run that looked calls it fit."""
    if "admit" in phases:
        return "in service", "admitted"
    if {"health", "validate", "validate_together"} & set(phases):
        return "fit", "fit"
    return f"through {phases[-1] if phases else 'nothing'}", "passed"


def node_state(node: str, gates: Sequence[Mapping[str, Any]], findings: Sequence[Finding], completed: bool) -> str:
    """How `node` came out. `gates` in the order in which they were passed.

    Only the last gate of a run can admit, and only when the run came to its end, or failed after it had
    concluded. A node of which nothing bad is known and that was not judged to the end is unjudged: not known to be
    fit, and left as it was.
    """
    if any(node in gate["deferred"] for gate in gates):
        return DEFERRED
    if any(node in gate["set_aside"] for gate in gates):
        lost = any(f.check == "host.reachable" and not f.verdict.allocatable for f in findings)
        return UNREACHABLE if lost else SET_ASIDE
    if gates and node in gates[-1]["passed"] and (completed or gates[-1]["final"]):
        return ADMITTED
    # Bad news keeps a node out also where no gate has judged it: it is quarantined, or the run stopped before the gate.
    return UNJUDGED if all(finding.verdict.allocatable for finding in findings) else SET_ASIDE


def _told(recorded: Recorded) -> dict[str, Any]:
    return recorded.finding.to_dict() | {"phase": recorded.phase, "files": list(recorded.files)}


def build_report(
    run: RunDirectory,
    playbook: str,
    nodes: Mapping[str, Mapping[str, Any]],
    services: Mapping[str, Mapping[str, Any]],
    phases: Sequence[Mapping[str, Any]],
    completed: bool,
    *,
    ended: datetime.datetime,
    check_mode: bool = False,
    stopped_by: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The report document.

    `nodes`: those that the run was about (roster and limit, planned ones left out), each with
    `class`, `serial` and `location`. `phases` in order: `name`, `seconds`, `nodes_in`, `nodes_out`.
    `stopped_by`: the tasks that failed the run, each with `phase`, `task`, `hosts` and `message`.
    """
    decided = run.gates()
    gates = [decided[phase["name"]] for phase in phases if phase["name"] in decided]
    entries: dict[str, dict[str, Any]] = {}
    for name, known in nodes.items():
        recorded = [item for item in run.recorded(name) if item.phase != BEFORE]
        state = node_state(name, gates, [item.finding for item in recorded], completed)
        worse = [item for item in recorded if item.finding.verdict is not Verdict.PASS]
        entries[name] = {
            "state": state,
            "class": str(known.get("class") or ""),
            "serial": str(known.get("serial") or ""),
            "location": str(known.get("location") or ""),
            "passed": sum(item.finding.verdict is Verdict.PASS for item in recorded),
            "findings": [_told(item) for item in worse],
        }
    states = [entry["state"] for entry in entries.values()]
    return {
        "schema": SCHEMA_VERSION,
        "run": run.run,
        "playbook": playbook,
        "check_mode": check_mode,
        "started": _utc(run.started),
        "ended": _utc(ended),
        "completed": completed,
        "stopped_by": [dict(task) for task in stopped_by],
        "summary": {"total": len(entries)} | {state: states.count(state) for state in STATES},
        "nodes": entries,
        "site": [_told(item) for item in run.recorded_site() if item.finding.verdict is not Verdict.PASS],
        "services": {name: dict(service) for name, service in services.items()},
        "phases": [
            dict(phase) | {"gate": f"gates/{phase['name']}.json" if phase["name"] in decided else ""}
            for phase in phases
        ],
    }


def _utc(moment: datetime.datetime) -> str:
    return f"{moment.astimezone(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
