# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring-up: at once; run again it changes nothing; killed twice on the way it converges."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tests.e2e.conftest import NODES
from tests.e2e.session import LabSession

# Gives every machine back to MAAS, in service or not: the lab as it was before its first bring-up.
RELEASE = [
    {
        "hosts": "gpu_nodes",
        "gather_facts": False,
        "tasks": [
            {
                "firstlight.cluster.maas_machine": {
                    "url": "{{ maas_url }}",
                    "api_key_file": "{{ maas_api_key_file }}",
                    "state": "released",
                    "in_service_tag": "",
                    "poll_interval": 1,
                    "machines": "{{ groups['gpu_nodes'] | map('community.general.dict_kv', 'name') | list }}",
                },
                "run_once": True,
                "delegate_to": "localhost",
                "register": "released",
                "failed_when": "released.failed_machines | default(['all']) | length > 0",
            }
        ],
    }
]


def deployments(lab: LabSession, since: int = 0) -> Counter[str]:
    """How often each machine was asked to be deployed, after the first `since` requests of that kind."""
    asked = lab.requests("maas", method="POST", op="deploy", status=200)
    return Counter(entry["path"] for entry in asked[since:])


def test_one_run_admits_every_node(lab: LabSession, valid_report: Any) -> None:
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    valid_report.validate(run.report)
    assert run.report["summary"]["admitted"] == run.report["summary"]["total"] == 4
    assert [run.state(node) for node in NODES] == ["admitted"] * 4
    assert set(deployments(lab).values()) == {1}
    assert len(deployments(lab)) == 4


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


def test_killed_while_provisioning(lab: LabSession, artifacts: Path) -> None:
    playbook = artifacts / "release.yml"
    playbook.write_text(json.dumps(RELEASE), encoding="utf-8")
    released = lab.playbook(str(playbook))
    assert released.returncode == 0, released.output[-4000:]
    before = deployments(lab).total()
    lab.kill_playbook_when(lambda: len(deployments(lab, before)) >= 2, "site.yml")


def test_killed_while_configuring(lab: LabSession) -> None:
    def installing() -> bool:
        return "dpkg" in lab.ssh("node03", "pgrep -a dpkg || true", check=False)

    lab.kill_playbook_when(installing, "site.yml")


def test_the_next_run_admits_every_node(lab: LabSession) -> None:
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    assert run.report["summary"]["admitted"] == 4
    # Each was deployed at the first bring-up, and once more in spite of two kills.
    assert sorted(deployments(lab).values()) == [2, 2, 2, 2]
    for node in NODES:
        assert lab.ssh(node, "dpkg --audit") == ""
