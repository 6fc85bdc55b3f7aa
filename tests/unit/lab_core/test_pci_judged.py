# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI tree of a machine as node_health judges it: well once the role has been there, and each fault by name."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.pcie import read_pcie

from lab import pci
from lab.engine import Engine
from lab.kinds.model import Kind, Target
from lab.kinds.pcie import KINDS
from lab.machines import Machine, Site
from lab.site import Lab

CLASS = yaml.safe_load((Path(__file__).parents[3] / "inventories/lab/node_classes/lab-h100.yml").read_text())
BRIDGE, HCA = 0x01, b"\xb3\x15"


@pytest.fixture
def machine(lab: Lab, site: Site) -> Machine:
    one = site.machines["node01"]
    pci.write(lab.machine_directory(one.name) / "sysfs/bus/pci", one)
    return one


def set_by_the_role(directory: Path) -> None:
    """ACS off at the bridges, reads of 4096 bytes for the HCAs."""
    for link in (directory / "sysfs/bus/pci/devices").iterdir():
        config = link.resolve() / "config"
        space = bytearray(config.read_bytes())
        if space[0x0E] & BRIDGE:
            struct.pack_into("<H", space, pci.ACS + 6, 0)
        elif space[:2] == HCA:
            struct.pack_into("<H", space, pci.EXPRESS + 8, pci.DEVICE_CONTROL & ~0x7000 | 0x5000)
        config.write_bytes(bytes(space))


def judged(directory: Path, machine: Machine) -> list[Finding]:
    hcas = {f"mlx5_{rail}": {"pci": pci.HCA_SLOTS[rail][0]} for rail in range(machine.hcas)}
    data = {
        "pcie": read_pcie(directory / "sysfs"),
        "infiniband": {"devices": hcas},
        "host": {"uptime_seconds": 7200.0},
    }
    findings = judge({"readers": {name: {"status": "ok", "data": read} for name, read in data.items()}}, CLASS)
    return [item for item in findings if item.check.startswith("pcie.")]


def wrong(directory: Path, machine: Machine) -> set[str]:
    return {item.check for item in judged(directory, machine) if item.verdict is not Verdict.PASS}


def test_a_machine_is_well_once_the_role_has_set_what_firmware_leaves(lab: Lab, machine: Machine) -> None:
    directory = lab.machine_directory(machine.name)
    assert wrong(directory, machine) == {"pcie.acs", "pcie.max_read_request"}
    set_by_the_role(directory)
    assert wrong(directory, machine) == set()
    assert len({item.check for item in judged(directory, machine)}) == 18


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_fault_is_found_by_its_check(lab: Lab, machine: Machine, kind: Kind) -> None:
    directory = lab.machine_directory(machine.name)
    set_by_the_role(directory)
    target, values = Target(lab, machine, Engine(lab)), {parameter.name: 3 for parameter in kind.parameters}
    kind.inject(target, values)
    bad = [item for item in judged(directory, machine) if item.verdict in (Verdict.WARN, Verdict.FAIL)]
    assert kind.check in {item.check for item in bad}
    assert {item.component for item in bad} <= {"gpu:3", "hca:mlx5_3", "host"}
    kind.heal(target, values)
    assert wrong(directory, machine) == set()
