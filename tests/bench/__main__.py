# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: every figure is a ratio to a floor that the same run has measured, the median of several."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.compare import compare
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import parse
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan_file import load

from lab.fabric.simulator import FabricError, Simulator
from lab.fabric.topology import three_tier
from lab.site import Lab

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """`seconds` of what is measured over `floor_seconds` of what it cannot be faster than."""

    name: str
    seconds: float
    floor: str
    floor_seconds: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.floor_seconds

    def __str__(self) -> str:
        return f"{self.name}: {self.ratio:.2f} x {self.floor} ({self.seconds:.2f} s / {self.floor_seconds:.2f} s)"


def median_seconds(action: Callable[[], object]) -> float:
    """Of ROUNDS rounds, after one that warms caches and connections."""
    action()
    taken = []
    for _round in range(ROUNDS):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def play(task: dict[str, object], folder: Path) -> Callable[[], object]:
    """A run of one task over the nodes of the lab."""
    playbook = folder / f"{next(iter(task)).rpartition('.')[2]}.yml"
    node_class = {"node_class_data": "{{ lookup('file', class_file) | from_yaml }}"}
    play = {"hosts": "gpu_nodes", "gather_facts": False, "become": True, "vars": node_class, "tasks": [task]}
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    class_file = ROOT / "inventories" / "lab" / "node_classes" / "lab-h100.yml"
    command = ["ansible-playbook", str(playbook), "-e", f"class_file={class_file}"]
    return lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def health(folder: Path) -> Figure:
    """A pass of node_health over the lab's nodes, to a pass of ping."""
    arguments = {
        "node_class": "{{ node_class_data }}",
        "nvml_path": "{{ node_health_nvml_path }}",
    }
    measured = median_seconds(play({"firstlight.cluster.node_health": arguments}, folder))
    floor = median_seconds(play({"ansible.builtin.ping": {}}, folder))
    return Figure("node_health over 4 nodes", measured, "ansible.builtin.ping over them", floor)


def fabric(folder: Path) -> Figure:
    """Discovering the cabling of 511 nodes and comparing it with the plan, to ibnetdiscover alone."""
    nodes = [f"node{number:03}" for number in range(1, 512)]
    plan = load(ROOT / "inventories" / "example" / "cable_plan.yml")
    labdir = folder / ".lab" / "bench"
    labdir.mkdir(parents=True)
    bridge, network = f"flb{Lab.at(labdir).tag}", "198.19.254"
    simulator = Simulator(labdir, f"{network}.5")
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "link", "set", bridge, "up"], check=True)
        topology = three_tier(nodes)
        simulator.start(topology, {"network": {"cidr": f"{network}.0/24", "bridge": bridge}})
        simulator.wait_for_sweep()
        eyes = next(iter(topology.hcas))

        def discover() -> str:
            return simulator.diagnose(["ibnetdiscover"], at=eyes)

        floor = median_seconds(discover)
        measured = median_seconds(lambda: compare(parse(discover().splitlines()), plan, nodes))
    finally:
        simulator.stop()
        subprocess.run(["ip", "link", "delete", bridge], check=False)
    return Figure("discover and compare 12,280 cables", measured, "ibnetdiscover alone", floor)


def main() -> int:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        for measure, needs in ((fabric, "root and the host packages"), (health, "the lab, up and admitted: make lab")):
            folder = Path(name) / measure.__name__
            folder.mkdir()
            try:
                figures.append(measure(folder))
                print(figures[-1], flush=True)
            except (subprocess.CalledProcessError, FabricError) as error:
                print(f"{measure.__doc__}\n  not measured, it needs {needs}: {error}", file=sys.stderr)
    report = ROOT / "artifacts" / "bench.json"
    report.write_text(json.dumps([asdict(figure) | {"ratio": figure.ratio} for figure in figures], indent=1) + "\n")
    print(f"Figures: {report}")
    return 0 if len(figures) == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
