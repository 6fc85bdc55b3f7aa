# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule at the end of a phase: which findings let a node through. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict, missing_checks


@dataclass(frozen=True)
class Judgement:
    """What the gate makes of one node.

    `findings`: those other than pass; `missing`: those of them that the gate had to add; `passes`: the
    components that passed, by check; `kept_out`: an earlier gate had set the node aside.
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
    passes: dict[str, list[str]] = {}
    for item in findings:
        if item.verdict is Verdict.PASS:
            passes.setdefault(item.check, []).append(item.component)
    return Judgement(findings=notable + missing, missing=missing, passes=passes, kept_out=aside)


def _unreported(check: str) -> Finding:
    return finding(check, "host", Verdict.UNKNOWN, "was expected to report and did not")
