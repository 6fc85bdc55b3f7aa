# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was judged: findings, their verdicts, and their JSON form.

A finding is one judged fact about one component of one node (or of the fabric). Everything that
judges produces findings; gates, ledger, report and metrics consume nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1


class Verdict(str, enum.Enum):
    """How a fact was judged. Order of badness: see `worst`."""

    PASS = "pass"
    WAIVED = "waived"
    WARN = "warn"
    UNKNOWN = "unknown"
    FAIL = "fail"

    @property
    def allocatable(self) -> bool:
        """Whether a node may stay in service with this verdict; what could not be read is not."""
        return self in (Verdict.PASS, Verdict.WAIVED, Verdict.WARN)


_BADNESS = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of `verdicts`. Of nothing it is `unknown`: nothing judged is nothing known."""
    return max(verdicts, key=_BADNESS.__getitem__, default=Verdict.UNKNOWN)


@dataclass(frozen=True)
class Finding:
    """One judged fact.

    `check` is a dotted id of the catalogue, `component` the part it is about (`host`, `gpu:3`,
    `hca:mlx5_5`, `mount:/data`, `link:leaf-01/12`). `observed` and `expected` are JSON values with
    the unit in `summary`. `evidence` holds what a person needs to believe it (a log line, a path).
    """

    check: str
    component: str
    verdict: Verdict
    summary: str
    observed: Any = None
    expected: Any = None
    remedy: str = ""
    owner: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "component": self.component,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "observed": self.observed,
            "expected": self.expected,
            "remedy": self.remedy,
            "owner": self.owner,
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """Raises ValueError that names the missing key or the unknown verdict."""
        try:
            return cls(
                check=str(data["check"]),
                component=str(data["component"]),
                verdict=Verdict(data["verdict"]),
                summary=str(data["summary"]),
                observed=data.get("observed"),
                expected=data.get("expected"),
                remedy=str(data.get("remedy") or ""),
                owner=str(data.get("owner") or ""),
                evidence=dict(data.get("evidence") or {}),
            )
        except KeyError as error:
            raise ValueError(f"finding without the key {error}") from error


def missing_checks(expected: Iterable[str], findings: Iterable[Finding]) -> list[str]:
    """The expected check ids that no finding reports, sorted."""
    return sorted(set(expected) - {finding.check for finding in findings})
