# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule at the end of a phase: which findings let a node through. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..catalog.checks import finding
from ..findings import Finding, Verdict, missing_checks


@dataclass(frozen=True)
class Judgement:
    """What the gate makes of one node: its findings other than pass, and those it had to add."""

    findings: list[Finding]
    missing: list[Finding]

    @property
    def passed(self) -> bool:
        return all(item.verdict.allocatable for item in self.findings)

    @property
    def reasons(self) -> list[str]:
        """One line for each finding that keeps the node out."""
        return [
            f"{item.verdict.value} {item.check} {item.component}: {item.summary}"
            for item in self.findings
            if not item.verdict.allocatable
        ]


def judge_node(expected: Iterable[str], findings: Sequence[Finding]) -> Judgement:
    """Judge one node by its findings of a phase; every expected check without one is unknown.

    A node that could not be reached has that one reason: what it did not report says nothing more.
    """
    lost = [item for item in findings if item.check == "host.reachable" and not item.verdict.allocatable]
    missing = [] if lost else [_unreported(check) for check in missing_checks(expected, findings)]
    notable = [item for item in findings if item.verdict is not Verdict.PASS]
    return Judgement(findings=notable + missing, missing=missing)


def _unreported(check: str) -> Finding:
    return finding(check, "host", Verdict.UNKNOWN, "was expected to report and did not")
