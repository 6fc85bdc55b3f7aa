# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge one node: its observation against its class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ..catalog.checks import NODE_HEALTH, expected_checks, finding
from ..catalog.health.host import required_units
from ..catalog.health.optics import optical_hcas
from ..findings import Finding, Verdict, missing_checks
from . import (
    agent,
    container,
    cpu_memory,
    disk,
    ethernet,
    gpu,
    gpu_errors,
    hca,
    host,
    kernel_log,
    nvlink,
    optics,
    pcie,
    thermal,
)
from .view import Judge, Observed, Unjudgeable

_BY_CHECK: dict[str, Judge] = {
    check: judge
    for area in (
        host,
        gpu,
        gpu_errors,
        thermal,
        nvlink,
        pcie,
        hca,
        optics,
        ethernet,
        disk,
        container,
        cpu_memory,
        kernel_log,
        agent,
    )
    for check, judge in area.JUDGES.items()
}
JUDGES: Mapping[str, Judge] = MappingProxyType({check: _BY_CHECK[check] for check in NODE_HEALTH})


def asked_of(node_class: Mapping[str, Any]) -> dict[str, Any]:
    """What a reading has to be told of the class, as options of node_observation and names of observe's `Sources`.

    Its `mounts`, its `units`, the HCAs whose `optics` are read, and whether lines of the kernel log are judged.
    """
    return {
        "mounts": list(node_class["hardware"].get("mounts") or ()),
        "units": required_units(node_class),
        "optics": optical_hcas(node_class),
        "kernel_log_templates": "kernel_log" in node_class,
    }


def health_of(
    observation: Mapping[str, Any], node_class: Mapping[str, Any], checks: Iterable[str] | None = None
) -> list[Finding]:
    """All that an observation tells of a node, for whoever asks: the controller, and the agent on the node.

    Of the `checks` (without them: of all that the class expects) none is left out: one of which nothing was found is
    unknown.
    """
    expected = expected_checks(node_class) if checks is None else list(checks)
    found = judge(observation, node_class, checks=expected)
    return found + [
        finding(check, "host", Verdict.UNKNOWN, "was expected to report and did not")
        for check in missing_checks(expected, found)
    ]


def judge(
    observation: Mapping[str, Any],
    node_class: Mapping[str, Any],
    judges: Mapping[str, Judge] = JUDGES,
    checks: Iterable[str] | None = None,
) -> list[Finding]:
    """Findings of every one of the `checks`, without them of all that the class expects; each has at least one.

    A check that finds nothing to judge by, finds nothing at all, or crashes is unknown, and costs no other
    check's result. Checks that the class does not have are not judged.
    """
    found: list[Finding] = []
    observed = Observed(observation)
    for check in expected_checks(node_class) if checks is None else checks:
        try:
            results = judges[check](observed, node_class) or [_unknown(check, "judged nothing")]
        except Unjudgeable as reason:
            results = [_unknown(check, str(reason), reason.evidence)]
        except Exception as error:  # a judge's defect must not hide the other checks
            results = [_unknown(check, f"its judge failed: {type(error).__name__}: {error}")]
        found.extend(results)
    return found


def _unknown(check: str, summary: str, evidence: Mapping[str, Any] | None = None) -> Finding:
    return finding(check, "host", Verdict.UNKNOWN, summary, evidence=evidence)
