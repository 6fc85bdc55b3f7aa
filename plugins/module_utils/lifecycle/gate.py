# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule at the end of a phase: which findings let a node through. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog.checks import CHECKS, finding
from ..findings import Finding, Verdict, missing_checks, worst
from .ledger_model import EVERY_COMPONENT


@dataclass(frozen=True)
class Judgement:
    """What the gate makes of one node.

    `findings`: those other than pass; `missing`: those of them that the gate had to add; `passes`: the
    components that passed, by check, `[EVERY_COMPONENT]` where the check passed wholly; `kept_out`: an earlier
    gate had set the node aside.
    """

    findings: list[Finding]
    missing: list[Finding]
    passes: dict[str, list[str]]
    kept_out: bool = False

    @property
    def passed(self) -> bool:
        return not self.kept_out and all(item.verdict.allocatable for item in self.findings)

    @property
    def reasons(self) -> list[str]:
        """One line for each finding that keeps the node out."""
        return [
            f"{item.verdict.value} {item.check} {item.component}: {item.summary}"
            for item in self.findings
            if not item.verdict.allocatable
        ]


def judge_node(
    expected: Iterable[str],
    findings: Sequence[Finding],
    gates: Sequence[Mapping[str, Any] | None] = (),
    node: str = "",
) -> Judgement:
    """Judge one node by its findings of a phase and by the earlier gates that it must have passed.

    Every expected check without a finding is unknown. A node that could not be reached has that one
    reason: what it did not report says nothing more; neither does a phase that a failed task ended. A gate
    that set the node aside keeps it out without a further finding; one that never saw it is an unknown.
    """
    lost = [item for item in findings if item.check == "host.reachable" and not item.verdict.allocatable]
    absent = [] if lost else missing_checks(expected, findings)
    if any(item.check == "phase.task" and not item.verdict.allocatable for item in findings):
        absent = [check for check in absent if check != "phase.complete"]
    missing = [_unreported(check) for check in absent]
    aside = any(gate is not None and node in gate["set_aside"] for gate in gates)
    if not aside and any(gate is None or node not in gate["passed"] for gate in gates):
        missing.append(
            finding("phase.complete", "host", Verdict.UNKNOWN, "this run did not take it through every gate")
        )
    notable = [item for item in findings if item.verdict is not Verdict.PASS]
    passes = _passes([*findings, *missing])
    return Judgement(findings=notable + missing, missing=missing, passes=passes, kept_out=aside)


def alike(judged: Mapping[str, Judgement]) -> list[dict[str, Any]]:
    """What passed, as the ledger is told of it: `nodes` of which the same `checks` passed on the same components.

    Most nodes of a site come out alike, so its length is that of the catalogue, not of the roster.
    """
    entries: dict[str, dict[str, Any]] = {}
    for name, judgement in judged.items():
        if judgement.passes:
            outcome = json.dumps(judgement.passes, sort_keys=True)
            entries.setdefault(outcome, {"nodes": [], "checks": judgement.passes})["nodes"].append(name)
    return list(entries.values())


def _passes(findings: Sequence[Finding]) -> dict[str, list[str]]:
    by_check: dict[str, list[Finding]] = {}
    for item in findings:
        by_check.setdefault(item.check, []).append(item)
    passes: dict[str, list[str]] = {}
    for check, told in by_check.items():
        against = {item.component for item in told if item.verdict is not Verdict.PASS}
        passed = sorted({item.component for item in told} - against)
        if not against and all(_all_there(component, by_check) for component in passed):
            passed = [EVERY_COMPONENT]
        if passed:
            passes[check] = passed
    return passes


def _all_there(component: str, by_check: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether no part of the component's kind is missing: of a missing one its checks report nothing, good or bad.

    Parts that have a check `<kind>.count` may be missing; it says whether they are.
    """
    count = f"{component.partition(':')[0]}.count"
    return count not in CHECKS or worst(item.verdict for item in by_check.get(count, ())).allocatable


def _unreported(check: str) -> Finding:
    return finding(check, "host", Verdict.UNKNOWN, "was expected to report and did not")
