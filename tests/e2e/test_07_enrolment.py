# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare racks: the roster knows names and BMC addresses, MAAS knows nothing. Provision enrols, and deploys.

In a lab of its own, since in the others somebody told MAAS of the machines. Two nodes, and of one the password is
wrong.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.session import ROOT, LabSession, PlaybookRun

NODES = ("node01", "node02")
WRONG = "not-the-password"
PLAYBOOK = "playbooks/provision.yml"


class Racks:
    """A lab whose MAAS knows no machine, and the inventory that knows of two little more than their names."""

    def __init__(self) -> None:
        self.lab = LabSession("enrol", ROOT / "artifacts" / "e2e-enrol")
        # So that the options of every call stand where a password in them would be found.
        self.lab.environment["ANSIBLE_INJECT_INVOCATION"] = "1"
        self.lab.artifacts.mkdir(parents=True, exist_ok=True)
        # Two levels below the clone, as the paths in it expect.
        self.inventory = ROOT / "artifacts" / "bare-inventory"

    def up(self) -> None:
        self.down()
        self.lab.lab("up", "--bare")
        built = json.loads((self.lab.directory / "machines.json").read_text(encoding="utf-8"))["machines"]
        self.passwords = {name: built[name]["bmc"]["password"] for name in NODES}
        shutil.copytree(ROOT / "inventories" / "lab", self.inventory)
        roster = self.inventory / "hosts.yml"
        hosts = yaml.safe_load(roster.read_text(encoding="utf-8"))
        for name in list(hosts["gpu_nodes"]["hosts"]):
            entry = hosts["gpu_nodes"]["hosts"].pop(name)
            if name in NODES:
                del entry["serial_number"]
                hosts["gpu_nodes"]["hosts"][name] = {**entry, "bmc_address": built[name]["bmc"]["address"]}
        hosts["gpu_nodes"]["hosts"]["node02"]["bmc_password"] = WRONG
        roster.write_text(yaml.safe_dump(hosts), encoding="utf-8")

    def correct_the_password(self) -> None:
        roster = self.inventory / "hosts.yml"
        hosts = yaml.safe_load(roster.read_text(encoding="utf-8"))
        del hosts["gpu_nodes"]["hosts"]["node02"]["bmc_password"]
        roster.write_text(yaml.safe_dump(hosts), encoding="utf-8")

    def down(self) -> None:
        self.lab.lab("down")
        shutil.rmtree(self.inventory, ignore_errors=True)

    def playbook(self, playbook: str, *arguments: str) -> PlaybookRun:
        return self.lab.playbook(playbook, "-i", str(self.inventory), *arguments)

    def writes(self) -> int:
        return len(self.lab.requests("maas", writing=True)) + len(self.lab.requests("bmc", writing=True))

    def asked(self, operation: str) -> int:
        return len(self.lab.requests("maas", method="POST", op=operation, status=200))


@pytest.fixture(scope="module")
def racks() -> Iterator[Racks]:
    site = Racks()
    site.up()
    yield site
    if not os.environ.get("FIRSTLIGHT_KEEP_LAB"):
        site.down()


def reasons(run: PlaybookRun, node: str) -> dict[str, str]:
    return {item["check"]: item["summary"] for item in run.findings(node)}


def leaked(racks: Racks, run: PlaybookRun) -> list[str]:
    """Where a password of a BMC is written that a run has left."""
    words = [WRONG, *racks.passwords.values()]
    files = [path for path in Path(racks.lab.artifacts).rglob("*") if path.is_file() and not path.is_symlink()]
    texts = {"output": run.output, **{str(path): path.read_text(encoding="utf-8") for path in files}}
    return [name for name, text in texts.items() if any(word in text for word in words)]


def test_preflight_takes_a_roster_of_names_and_bmc_addresses(racks: Racks) -> None:
    run = racks.playbook("playbooks/preflight.yml")
    assert run.returncode == 0, run.output[-4000:]


def test_check_mode_reads_the_bmcs_and_sends_no_writing_request(racks: Racks) -> None:
    before = racks.writes()
    run = racks.playbook(PLAYBOOK, "--check", "--diff")
    assert run.returncode == 0, run.output[-8000:]
    assert {node: run.state(node) for node in NODES} == {"node01": "deferred", "node02": "set_aside"}
    assert racks.lab.requests("bmc", machine="node01", method="GET")
    assert racks.writes() == before


def test_a_node_arrives_and_one_whose_bmc_refuses_the_login_is_named(racks: Racks) -> None:
    run = racks.playbook(PLAYBOOK, "-vvv")
    assert run.returncode == 0, run.output[-8000:]
    assert {node: run.state(node) for node in NODES} == {"node01": "admitted", "node02": "set_aside"}
    assert set(reasons(run, "node02")) == {"boot.bmc_login", "provision.enrol"}
    assert (racks.asked("commission"), racks.asked("deploy")) == (1, 1)
    assert racks.lab.ssh("node01", "hostname").strip() == "node01"
    assert leaked(racks, run) == []


def test_a_second_run_asks_no_bmc_of_a_machine_that_maas_knows(racks: Racks) -> None:
    before, writes = len(racks.lab.requests("bmc", machine="node01")), racks.writes()
    run = racks.playbook(PLAYBOOK)
    assert run.returncode == 0, run.output[-8000:]
    assert run.state("node01") == "admitted"
    assert len(racks.lab.requests("bmc", machine="node01")) == before
    assert racks.writes() == writes
    assert set(run.changed.values()) == {0}, run.output[-8000:]
    assert racks.lab.requests("bmc", machine="node02"), "the other one is asked each time"


def test_with_the_right_password_the_other_one_follows(racks: Racks) -> None:
    before = len(racks.lab.requests("bmc", machine="node01"))
    racks.correct_the_password()
    run = racks.playbook(PLAYBOOK)
    assert run.returncode == 0, run.output[-8000:]
    assert {node: run.state(node) for node in NODES} == {"node01": "admitted", "node02": "admitted"}
    assert (racks.asked("commission"), racks.asked("deploy")) == (2, 2)
    assert racks.lab.ssh("node02", "hostname").strip() == "node02"
    assert len(racks.lab.requests("bmc", machine="node01")) == before
