# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repair drill: a GPU of node02 fails, is exchanged, and the node is provisioned anew, proved and admitted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.conftest import NODES
from tests.e2e.session import LabSession

pytestmark = pytest.mark.usefixtures("in_service")

PLAYBOOK = "playbooks/reprovision.yml"
OTHERS = [node for node in NODES if node != "node02"]


def writing(lab: LabSession) -> int:
    """How many requests MAAS was sent that are no GET."""
    return sum(entry["method"] != "GET" for entry in lab.requests("maas"))


def asked(lab: LabSession, operation: str) -> int:
    return len(lab.requests("maas", method="POST", op=operation, status=200))


def told(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(item["check"], item["component"], item["verdict"]) for item in found]


def test_a_node_in_service_is_refused(lab: LabSession) -> None:
    before = writing(lab)
    run = lab.playbook(PLAYBOOK, "--limit", "node02")
    assert run.returncode == 2, run.output[-4000:]
    assert "node02 is in service since" in run.output
    assert lab.playbook(PLAYBOOK).returncode == 2
    assert writing(lab) == before
    assert lab.ledger()["locks"] == {}


def test_check_mode_sends_no_writing_request(lab: LabSession) -> None:
    before = writing(lab)
    arguments = ("-e", "repaired=node02,node03", "-e", "reprovision_in_service=true")
    run = lab.playbook(PLAYBOOK, *arguments, "--check", "--diff")
    assert run.returncode == 0, run.output[-8000:]
    assert {node: run.state(node) for node in run.report["nodes"]} == {"node02": "deferred", "node03": "deferred"}
    assert writing(lab) == before
    assert {node["state"] for node in lab.ledger()["nodes"].values()} == {"in_service"}


def test_a_node_with_an_exchanged_gpu_is_proved_and_the_ledger_shows_the_exchange(lab: LabSession) -> None:
    lab.lab("fault", "node02", "gpu-missing", "--gpu", "3")
    run = lab.playbook("playbooks/health.yml")
    assert run.state("node02") == "set_aside", told(run.findings("node02"))
    [missing] = [item for item in run.findings("node02") if item["check"] == "lifecycle.part.missing"]

    serials = re.findall(r"\d{13}", lab.lab("swap", "node02", "--gpu", "3").stdout)
    assert len(serials) == 2
    assert (missing["component"], missing["verdict"]) == ("gpu:3", "warn")
    assert f": {serials[0]} is gone" in missing["summary"]
    releases, deployments = asked(lab, "release"), asked(lab, "deploy")
    run = lab.playbook(PLAYBOOK, "--limit", "node02", "-e", "reprovision_erase=quick")
    assert run.returncode == 0, run.output[-8000:]
    assert run.report["nodes"].keys() == {"node02"}
    assert run.state("node02") == "admitted", told(run.findings("node02"))
    assert (asked(lab, "release"), asked(lab, "deploy")) == (releases + 1, deployments + 1)
    [parts] = [item for item in run.findings("node02") if item["check"] == "repair.parts"]
    assert f"{serials[0]} -> {serials[1]}" in parts["summary"]
    [swapped_part] = [item for item in run.findings("node02") if item["check"] == "lifecycle.part.swapped"]
    assert (swapped_part["component"], swapped_part["verdict"]) == ("gpu:3", "warn")
    assert f": {serials[0]} -> {serials[1]} since run " in swapped_part["summary"]

    known = lab.ledger(nodes=["node02"], history=True, parts=True, part=serials[0])
    swapped = [each for each in known["actions"]["node02"] if each["action"] == "part_swapped"]
    assert swapped[-1]["detail"].endswith(f"{serials[0]} -> {serials[1]}")
    assert serials[1] in {part["serial"] for part in known["parts"]["node02"]}
    assert known["part"][0]["stays"][-1]["gone_at"]
    assert known["nodes"]["node02"]["state"] == "in_service"
    done = [each["action"] for each in known["actions"]["node02"] if each["run"] == run.report["run"]]
    assert done == ["part_swapped", "released", "commissioned", "deployed"]


@pytest.mark.long
def test_a_node_that_is_still_bad_is_not_admitted(lab: LabSession) -> None:
    lab.lab("fault", "node02", "ecc-uncorrected", "--gpu", "5")
    try:
        assert lab.playbook("playbooks/health.yml", "--limit", "node02").state("node02") == "set_aside"
        run = lab.playbook(PLAYBOOK, "-e", "repaired=node02")
    finally:
        lab.lab("heal", "node02")
    assert run.returncode == 2, run.output[-8000:]
    assert run.state("node02") == "set_aside"
    assert ("gpu.ecc.uncorrected", "gpu:5", "fail") in told(run.findings("node02"))
    states = {name: node["state"] for name, node in lab.ledger()["nodes"].items() if name in NODES}
    assert states == {**dict.fromkeys(OTHERS, "in_service"), "node02": "set_aside"}


@pytest.mark.long
def test_a_node_that_does_not_answer_is_provisioned_anew_and_a_killed_run_converges(lab: LabSession) -> None:
    """node02 hangs: its sshd is gone. The first run is killed as soon as MAAS was asked to deploy it."""
    lab.ssh("node02", "sudo systemctl mask --now ssh.service ssh.socket", check=False)
    deployments = asked(lab, "deploy")
    arguments = ("--limit", "node02", "-e", "reprovision_in_service=true")
    lab.kill_playbook_when(lambda: asked(lab, "deploy") > deployments, PLAYBOOK, *arguments)
    run = lab.playbook(PLAYBOOK, "--limit", "node02")  # which the killed one has taken out of service
    assert run.returncode == 0, run.output[-8000:]
    assert run.state("node02") == "admitted", told(run.findings("node02"))
    assert lab.ledger()["locks"] == {}


@pytest.mark.long
def test_several_at_once_are_one_release_and_one_deployment_each(lab: LabSession) -> None:
    releases, deployments = asked(lab, "release"), asked(lab, "deploy")
    run = lab.playbook(PLAYBOOK, "-e", "repaired=node02,node03", "-e", "reprovision_in_service=true")
    assert run.returncode == 0, run.output[-8000:]
    assert {node: run.state(node) for node in run.report["nodes"]} == {"node02": "admitted", "node03": "admitted"}
    assert (asked(lab, "release"), asked(lab, "deploy")) == (releases + 2, deployments + 2)
    assert not [item for item in run.findings("node02") if item["check"] == "repair.parts"], "nothing was exchanged"
