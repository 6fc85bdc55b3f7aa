# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rolling upgrade over four nodes: to another driver, to a bad one, and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import NODES
from tests.e2e.session import ROOT, LabSession, PlaybookRun
from tests.e2e.test_06_reprovision import told, writing

pytestmark = pytest.mark.long
UPGRADE, DRIFT = "playbooks/upgrade.yml", "playbooks/drift.yml"
FIRST, NEXT, BAD = "570.172.08", "575.57.08", "575.51.03"
HOOKS = {
    name: ["sh", "-c", f"tr -d '\\n' >> /var/tmp/scheduler; echo ' {name}' >> /var/tmp/scheduler"]
    for name in ("drain_command", "undrain_command")
}
ALL = ("--limit", "gpu_nodes", "-e", json.dumps(HOOKS))
TAKE = ("-e", "upgrade_in_service=true", "-e", "upgrade_most_out=2", "-e", "upgrade_batch=2")


class Site:
    """The lab's inventory with a driver of our choice in the node class."""

    def __init__(self, lab: LabSession, inventory: Path) -> None:
        self.lab = lab
        self.inventory = inventory

    def pin(self, version: str) -> None:
        place = self.inventory / "node_classes/lab-h100.yml"
        node_class = yaml.safe_load(place.read_text(encoding="utf-8"))
        node_class["software"] |= {"gpu_driver": version, "fabric_manager": version}
        place.write_text(yaml.safe_dump(node_class), encoding="utf-8")

    def run(self, playbook: str, *arguments: str) -> PlaybookRun:
        return self.lab.playbook(playbook, "-i", str(self.inventory), *arguments, timeout=3600)

    def drivers(self) -> dict[str, str]:
        ask = "nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0"
        return {node: self.lab.ssh(node, ask).strip() for node in NODES}

    def states(self) -> dict[str, str]:
        return {name: node["state"] for name, node in self.lab.ledger()["nodes"].items() if name in NODES}

    def scheduler(self) -> list[tuple[str, list[str]]]:
        """What the scheduler was told, and of whom, since it was asked last."""
        lines = self.lab.ssh("head01", "cat /var/tmp/scheduler; sudo rm /var/tmp/scheduler").splitlines()
        orders = [json.loads(line.rpartition(" ")[0]) for line in lines]
        return [(order["action"], sorted(order["nodes"])) for order in orders]


@pytest.fixture(scope="module")
def site(lab: LabSession) -> Iterator[Site]:
    """Every node in service with the first driver; two levels below the clone, as the inventory's paths expect."""
    inventory = ROOT / "artifacts" / "upgraded-inventory"
    shutil.rmtree(inventory, ignore_errors=True)
    shutil.copytree(ROOT / "inventories" / "lab", inventory)
    site = Site(lab, inventory)
    site.pin(FIRST)
    run = site.run("site.yml")
    assert [run.state(node) for node in NODES] == ["admitted"] * 4, run.output[-8000:]
    yield site
    shutil.rmtree(inventory)


def test_a_cluster_as_its_class_says_has_no_drift(site: Site) -> None:
    run = site.run(DRIFT)
    assert run.returncode == 0, run.output[-8000:]
    assert [item for node in NODES for item in run.findings(node)] == []
    assert set(run.changed.values()) == {0}


def test_drift_is_told_by_node_and_item(site: Site) -> None:
    site.pin(NEXT)
    before = writing(site.lab)
    run = site.run(DRIFT, "--limit", "node01,node02")
    assert run.returncode == 2, run.output[-8000:]
    assert f"gpu_driver is {FIRST}, the class has {NEXT}: node01, node02" in run.output
    found = [("software.drift", f"software:{item}", "warn") for item in ("gpu_driver", "fabric_manager")]
    assert told(run.findings("node02")) == found
    assert set(run.changed.values()) == {0}
    assert writing(site.lab) == before


def test_check_mode_tells_drift_and_sends_no_writing_request(site: Site) -> None:
    before = writing(site.lab)
    run = site.run(UPGRADE, *ALL, *TAKE, "--check", "--diff")
    assert run.returncode == 0, run.output[-8000:]
    assert ("software.drift", "software:gpu_driver", "warn") in told(run.findings("node03"))
    assert {run.state(node) for node in NODES} == {"deferred"}
    assert writing(site.lab) == before
    assert (site.drivers(), site.states()) == (dict.fromkeys(NODES, FIRST), dict.fromkeys(NODES, "in_service"))


def test_nodes_in_service_are_not_taken_unasked(site: Site) -> None:
    run = site.run(UPGRADE, *ALL)
    assert run.returncode == 2, run.output[-8000:]
    assert "node01 is in service since" in run.output
    assert site.drivers() == dict.fromkeys(NODES, FIRST)


def test_a_canary_and_then_batches_get_the_next_driver(site: Site) -> None:
    run = site.run(UPGRADE, *ALL, *TAKE, "-e", "upgrade_canary=node03")
    assert run.returncode == 0, run.output[-8000:]
    assert [run.state(node) for node in NODES] == ["admitted"] * 4
    assert site.drivers() == dict.fromkeys(NODES, NEXT)
    assert site.states() == dict.fromkeys(NODES, "in_service")
    batches = [["node03"], ["node01", "node02"], ["node04"]]
    assert site.scheduler() == [(action, nodes) for nodes in batches for action in ("drain", "undrain")]
    again = site.run(UPGRADE, *ALL, *TAKE)
    assert again.returncode == 0, again.output[-8000:]
    assert set(again.changed.values()) == {0}


def test_a_bad_driver_stops_at_the_canary(site: Site) -> None:
    site.pin(BAD)
    run = site.run(UPGRADE, *ALL, *TAKE)
    assert run.returncode == 2, run.output[-8000:]
    assert "canary node01 was set aside" in run.output
    assert ("gpu.count", "fail") in {(check, verdict) for check, _part, verdict in told(run.findings("node01"))}
    assert site.drivers() == dict.fromkeys(NODES, NEXT) | {"node01": BAD}
    assert site.states() == dict.fromkeys(NODES, "in_service") | {"node01": "set_aside"}
    assert site.scheduler() == [("drain", ["node01"])]
    assert site.lab.ledger()["locks"] == {}


def test_the_way_back_is_the_old_version_in_the_class(site: Site) -> None:
    site.pin(NEXT)
    run = site.run(UPGRADE, *ALL, *TAKE)
    assert run.returncode == 0, run.output[-8000:]
    assert run.report["nodes"].keys() == {"node01"}
    assert site.drivers() == dict.fromkeys(NODES, NEXT)
    assert site.states() == dict.fromkeys(NODES, "in_service")
    assert site.run(DRIFT).returncode == 0
    # A downgrade of all, which leaves the lab to the tests behind this one as it was.
    site.pin(FIRST)
    run = site.run(UPGRADE, *ALL, *TAKE, "-e", "upgrade_most_out=4", "-e", "upgrade_batch=4")
    assert run.returncode == 0, run.output[-8000:]
    assert site.drivers() == dict.fromkeys(NODES, FIRST)
