# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories' cable plans speak of the same machines as their rosters and node classes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan_file import load

ROOT = Path(__file__).resolve().parents[3]


def roster(inventory: Path) -> dict[str, dict[str, Any]]:
    """The hosts of gpu_nodes as Ansible sees them, without asking any MAAS."""
    sources = [argument for name in ("00-common.yml", "hosts.yml") for argument in ("-i", str(inventory / name))]
    listed = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), *sources, "--list"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    content = json.loads(listed.stdout)
    return {host: content["_meta"]["hostvars"][host] for host in content["gpu_nodes"]["hosts"]}


@pytest.mark.parametrize(("name", "count"), [("lab", 4), ("example", 511)])
def test_every_node_of_the_roster_has_its_class_s_hcas_in_the_plan(name: str, count: int) -> None:
    inventory = ROOT / "inventories" / name
    plan = load(inventory / "cable_plan.yml")
    nodes = roster(inventory)
    assert len(nodes) == count
    for node, variables in nodes.items():
        file = inventory / "node_classes" / f"{variables['node_class']}.yml"
        assert plan.hosts[node] == yaml.safe_load(file.read_text())["hardware"]["hcas"]["devices"]
    assert {host for host in plan.hosts if host not in nodes} == {"ufm01"}


def test_no_two_nodes_of_the_example_share_a_serial_or_a_place() -> None:
    nodes = roster(ROOT / "inventories" / "example").values()
    assert (
        len({node["serial_number"] for node in nodes}) == len({(node["rack"], node["unit"]) for node in nodes}) == 511
    )
