# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring-up: at once; run again it changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.conftest import NODES
from tests.e2e.session import LabSession


def test_one_run_admits_every_node(lab: LabSession, valid_report: Any) -> None:
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    valid_report.validate(run.report)
    assert run.report["summary"]["admitted"] == run.report["summary"]["total"] == 4
    assert [run.state(node) for node in NODES] == ["admitted"] * 4
    assert set(lab.deployments().values()) == {1}
    assert len(lab.deployments()) == 4


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
    assert run.report["check_mode"] is True


# What somebody did by hand on node02, and the item of the task that must undo it.
DRIFT = {
    "echo NCCL_DEBUG=TRACE >> /etc/nccl.conf": "/etc/nccl.conf",
    "chmod 600 /etc/security/limits.d/90-firstlight.conf": "/etc/security/limits.d/90-firstlight.conf",
    "systemctl stop nvidia-fabricmanager": "nvidia-fabricmanager: is not running",
    "systemctl disable nvidia-persistenced": "nvidia-persistenced: is not enabled",
    "apt-mark unhold libnccl2": "libnccl2",
    "usermod --shell /bin/sh cluster": "cluster",
    "sysctl -w vm.swappiness=60": "vm.swappiness",
    # A run that was killed after it wrote the limits, before systemd read them.
    "rm /var/lib/firstlight/applied/systemd": "systemd",
}


def test_drift_is_found_and_nothing_else_is_touched(lab: LabSession) -> None:
    for command in DRIFT:
        lab.ssh("node02", f"sudo sh -c '{command}'")
    try:
        run = lab.playbook("playbooks/configure.yml", "--check", "--limit", "node01,node02")
        checked = re.findall(r"^changed: \[(.+)\] => \(item=(.+)\)$", run.output, re.MULTILINE)
    finally:
        run = lab.playbook("playbooks/configure.yml", "--limit", "node01,node02")
    assert run.returncode == 0, run.output[-8000:]
    repaired = re.findall(r"^changed: \[(.+)\] => \(item=(.+)\)$", run.output, re.MULTILINE)
    assert sorted(repaired) == sorted(("node02", item) for item in DRIFT.values())
    assert run.changed["node01"] == 0
    # What check mode cannot say: a stamp is no change of the configuration.
    assert sorted(checked) == sorted(("node02", item) for item in DRIFT.values() if item != "systemd")


@pytest.mark.long
def test_one_node_alone_is_proved_with_the_help_of_others(lab: LabSession) -> None:
    run = lab.playbook("site.yml", "--limit", "node02")
    assert run.returncode == 0, run.output[-8000:]
    assert run.report["summary"]["total"] == 1
    assert run.state("node02") == "admitted", run.findings("node02")


def test_one_role_alone_leaves_the_nodes_in_service(lab: LabSession) -> None:
    run = lab.playbook("playbooks/configure.yml", "--tags", "nccl")
    assert run.returncode == 0, run.output[-8000:]
    assert run.report["summary"]["admitted"] == 4
    assert set(run.changed.values()) == {0}, run.output[-8000:]


def test_admission_alone_judges_nobody(lab: LabSession) -> None:
    run = lab.playbook("playbooks/admit.yml")
    assert run.returncode == 2, run.output[-4000:]
    assert "Remedy: run site.yml" in run.output
    health = lab.playbook("playbooks/health.yml")
    assert health.report["summary"]["admitted"] == 4
    assert set(health.changed.values()) == {0}, "admission alone took nodes out of service"
