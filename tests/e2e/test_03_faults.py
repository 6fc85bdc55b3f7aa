# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on three nodes at a time: each is found and named, the fourth judged fit, and all are gone after heal."""

from __future__ import annotations

import pytest

from tests.e2e.faults import Fault, areas
from tests.e2e.session import LabSession

FAULTS: list[Fault] = [fault for area in areas() for fault in area.FAULTS]
BROKEN = ("node02", "node03", "node04")
ROUNDS = [FAULTS[first : first + len(BROKEN)] for first in range(0, len(FAULTS), len(BROKEN))]
# One node is left in a round.
ENOUGH = ("-e", "min_healthy_fraction=0.25")


def told(run_findings: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(item["check"], item["component"], item["verdict"]) for item in run_findings]


@pytest.mark.parametrize("faults", ROUNDS, ids=["+".join(fault[0] for fault in each) for each in ROUNDS])
def test_health_names_the_faults_and_heal_ends_them(lab: LabSession, faults: list[Fault]) -> None:
    broken = dict(zip(BROKEN, faults, strict=False))
    try:
        for node, (kind, arguments, *_rest) in broken.items():
            lab.lab("fault", node, kind, *arguments)
        run = lab.playbook("playbooks/health.yml", *ENOUGH)
    finally:
        for node in broken:
            lab.lab("heal", node)

    assert run.returncode == 0, run.output[-4000:]
    for node, (kind, _arguments, check, component, verdict) in broken.items():
        state = "unreachable" if kind == "unreachable" else "admitted" if verdict == "warn" else "set_aside"
        assert run.state(node) == state, (kind, run.report)
        found = told(run.findings(node))
        assert any((id_, judged) == (check, verdict) and named.startswith(component) for id_, named, judged in found), (
            kind,
            found,
        )
    for node in {"node01", *BROKEN} - {*broken}:
        assert run.state(node) == "admitted", told(run.findings(node))

    healed = lab.playbook("playbooks/health.yml")
    for node, (kind, *_rest) in broken.items():
        assert healed.state(node) == "admitted", (kind, told(healed.findings(node)))


def test_a_slow_link_is_found_by_the_nodes_together_and_named(lab: LabSession) -> None:
    lab.lab("fault", "node02", "slow-link")
    try:
        run = lab.playbook("playbooks/validate.yml")
    finally:
        lab.lab("heal", "node02")
    assert run.returncode == 0, run.output[-4000:]
    assert run.state("node02") == "set_aside"
    assert any(item["check"].startswith("collective.") for item in run.findings("node02")), told(run.findings("node02"))
    assert [run.state(node) for node in ("node01", "node03", "node04")] == ["admitted"] * 3, run.report["nodes"]


def test_site_admits_the_healed_node(lab: LabSession) -> None:
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    assert run.state("node02") == "admitted", told(run.findings("node02"))
