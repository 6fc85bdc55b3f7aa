# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric of 511 nodes in ibsim: discovering and comparing its cables, to ibnetdiscover alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.compare import compare
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import parse
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan_file import load

from lab.fabric.simulator import Simulator
from lab.fabric.topology import three_tier
from lab.site import Lab
from tests.bench.figures import Figure, in_turns

ROOT = Path(__file__).resolve().parents[2]
AIM = 2.0


# Like a lab's, so that what a killed bench left is found again, and that the logs of one that failed can be read.
LABDIR = ROOT / ".lab" / "bench-fabric"


def discover_and_compare() -> Figure:
    nodes = [f"node{number:03}" for number in range(1, 512)]
    plan = load(ROOT / "inventories" / "example" / "cable_plan.yml")
    bridge, network = f"flb{Lab.at(LABDIR).tag}", "198.19.254"
    simulator = Simulator(LABDIR, f"{network}.5")
    _clear(simulator, bridge)
    LABDIR.mkdir(parents=True)
    try:
        subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
        subprocess.run(["ip", "link", "set", bridge, "up"], check=True)
        topology = three_tier(nodes)
        simulator.start(topology, {"network": {"cidr": f"{network}.0/24", "bridge": bridge}})
        simulator.wait_for_sweep()
        eyes = next(iter(topology.hcas))

        def discover() -> str:
            return simulator.diagnose(["ibnetdiscover"], at=eyes)

        measured, floor = in_turns(lambda: compare(parse(discover().splitlines()), plan, nodes), discover)
    finally:
        simulator.stop()
        _delete(bridge)
    _clear(simulator, bridge)
    return Figure("discover and compare 12,280 cables", "ibnetdiscover alone", measured, floor, AIM)


def _clear(simulator: Simulator, bridge: str) -> None:
    simulator.stop()
    _delete(bridge)
    shutil.rmtree(LABDIR, ignore_errors=True)


def _delete(bridge: str) -> None:
    """Remove it if it is there."""
    subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)
