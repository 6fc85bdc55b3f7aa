# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: one JSON document that says of every node how it came out, and why.

Its shape is fixed by schemas/report.schema.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..findings import SCHEMA_VERSION, Finding, Verdict
from .run import RunDirectory

ADMITTED = "admitted"
SET_ASIDE = "set_aside"
UNREACHABLE = "unreachable"
DEFERRED = "deferred"
STATES = (ADMITTED, SET_ASIDE, UNREACHABLE, DEFERRED)


def node_state(node: str, gates: Sequence[Mapping[str, Any]], findings: Sequence[Finding], completed: bool) -> str:
    """How `node` came out. `gates` in the order in which they were passed.

    Only the last gate of a run can admit, and only when the run came to its end, or failed after it had
    concluded; whatever was not judged to the end is set aside, because it is not known to be fit.
    """
    if any(node in gate["deferred"] for gate in gates):
        return DEFERRED
    if any(node in gate["set_aside"] for gate in gates):
        lost = any(f.check == "host.reachable" and not f.verdict.allocatable for f in findings)
        return UNREACHABLE if lost else SET_ASIDE
    if gates and node in gates[-1]["passed"] and (completed or gates[-1]["final"]):
        return ADMITTED
    return SET_ASIDE


def _unfinished(stopped_in: str) -> Finding:
    return Finding(
        check="phase.complete",
        component="host",
        verdict=Verdict.UNKNOWN,
        summary=f"the run stopped in phase {stopped_in} before this node was judged",
        remedy="Mend what stopped the run, then run the playbook again.",
        owner="user",
    )


def build_report(
    run: RunDirectory,
    playbook: str,
    nodes: Mapping[str, Mapping[str, Any]],
    services: Mapping[str, Mapping[str, Any]],
    phases: Sequence[Mapping[str, Any]],
    completed: bool,
    check_mode: bool = False,
) -> dict[str, Any]:
    """The report document.

    `nodes`: those that the run was about (roster and limit, planned ones left out), each with
    `class`, `serial` and `location`. `phases` in order: `name`, `seconds`, `nodes_in`, `nodes_out`.
    """
    decided = run.gates()
    gates = [decided[phase["name"]] for phase in phases if phase["name"] in decided]
    stopped_in = str(phases[-1]["name"]) if phases else "start"
    entries: dict[str, dict[str, Any]] = {}
    for name, known in nodes.items():
        findings = run.findings(name)
        state = node_state(name, gates, findings, completed)
        worse = [finding for finding in findings if finding.verdict is not Verdict.PASS]
        if state is SET_ASIDE and all(item.verdict.allocatable for item in worse):
            worse.append(_unfinished(stopped_in))
        entries[name] = {
            "state": state,
            "class": str(known.get("class") or ""),
            "serial": str(known.get("serial") or ""),
            "location": str(known.get("location") or ""),
            "passed": sum(finding.verdict is Verdict.PASS for finding in findings),
            "findings": [finding.to_dict() for finding in worse],
        }
    states = [entry["state"] for entry in entries.values()]
    return {
        "schema": SCHEMA_VERSION,
        "run": run.run,
        "playbook": playbook,
        "check_mode": check_mode,
        "summary": {"total": len(entries)} | {state: states.count(state) for state in STATES},
        "nodes": entries,
        "site": [f.to_dict() for f in run.site_findings() if f.verdict is not Verdict.PASS],
        "services": {name: dict(service) for name, service in services.items()},
        "phases": [dict(phase) for phase in phases],
    }
