# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring-up: killed twice on the way, it converges; run again, it changes nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.e2e.conftest import NODES
from tests.e2e.session import LabSession


def deployed(lab: LabSession) -> Counter[str]:
    """How often each machine was asked to be deployed."""
    return Counter(entry["path"] for entry in lab.requests("maas", method="POST", op="deploy", status=200))


def test_killed_while_provisioning(lab: LabSession) -> None:
    lab.kill_playbook_when(lambda: len(deployed(lab)) >= 2, "site.yml")
    assert len(deployed(lab)) >= 2


def test_killed_while_configuring(lab: LabSession) -> None:
    def installing() -> bool:
        return "dpkg" in lab.ssh("node03", "pgrep -a dpkg || true", check=False)

    lab.kill_playbook_when(installing, "site.yml")
    assert set(deployed(lab).values()) == {1}


def test_the_next_run_admits_every_node(lab: LabSession, valid_report: Any) -> None:
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    valid_report.validate(run.report)
    assert run.report["summary"]["admitted"] == run.report["summary"]["total"] == 4
    assert len(deployed(lab)) == 4
    assert set(deployed(lab).values()) == {1}
    for node in NODES:
        assert lab.ssh(node, "dpkg --audit") == ""


def test_a_second_run_changes_nothing(lab: LabSession) -> None:
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    assert run.changed
    assert set(run.changed.values()) == {0}, run.output[-8000:]
    assert run.report["summary"]["admitted"] == 4


def test_check_mode_after_bring_up_finds_nothing_to_change(lab: LabSession) -> None:
    run = lab.playbook("site.yml", "--check", "--diff")
    assert run.returncode == 0, run.output[-8000:]
    assert set(run.changed.values()) == {0}, run.output[-8000:]


def test_one_node_alone_is_judged_alone(lab: LabSession) -> None:
    run = lab.playbook("playbooks/health.yml", "--limit", "node02")
    assert run.returncode == 0, run.output[-4000:]
    assert run.report["summary"]["total"] == 1
    assert run.state("node02") == "admitted"
