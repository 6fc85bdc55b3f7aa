# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pass of node_health to a pass of ping: over the lab's nodes, and over many hosts that replay what they were."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.bench.figures import Figure, in_turns
from tests.e2e.session import ROOT, LabSession

AIM = 1.3
REPLAYED_HOSTS = 64
NODE_CLASS = "lab-h100"
PING: dict[str, Any] = {"ansible.builtin.ping": {}}
HEALTH: dict[str, Any] = {
    "firstlight.cluster.node_health": {
        "node_class": "{{ classes[node_class] }}",
        "nvml_path": "{{ node_health_nvml_path }}",
    }
}


def pass_over(
    inventory: Path, task: Mapping[str, Any], folder: Path, surroundings: Mapping[str, str], **play: Any
) -> Callable[[], object]:
    """An ansible-playbook of this one task over the GPU nodes of `inventory`; `play` are keywords of its play."""
    name = next(iter(task)).rpartition(".")[2]
    node_class = yaml.safe_load((ROOT / "inventories" / "lab" / "node_classes" / f"{NODE_CLASS}.yml").read_text())
    content = {
        "hosts": "gpu_nodes",
        "gather_facts": False,
        "vars": {"classes": {NODE_CLASS: node_class}},
        "tasks": [dict(task)],
        **play,
    }
    playbook = folder / f"{name}.yml"
    playbook.write_text(json.dumps([content]), encoding="utf-8")
    command = ["ansible-playbook", "-i", str(inventory), str(playbook)]

    def run() -> None:
        done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")

    return run


def over_nodes(session: LabSession, folder: Path) -> Figure:
    """Expects a lab whose nodes are configured."""
    inventory = ROOT / "inventories" / "lab"
    measured, floor = in_turns(
        *(pass_over(inventory, task, folder, session.environment, become=True) for task in (HEALTH, PING))
    )
    return Figure("node_health over 4 nodes", "ansible.builtin.ping over them", measured, floor, AIM)


def observations(artifacts: Path) -> list[Path]:
    """What the newest run that judged the lab's nodes read of them; RuntimeError where no run in `artifacts` did."""
    for run in sorted((place for place in artifacts.iterdir() if not place.is_symlink()), reverse=True):
        if read := sorted(run.glob("nodes/node*/validate.node_health.observation.json")):
            return read
    raise RuntimeError(f"no run in {artifacts} judged its nodes: site.yml must have run")


def over_replayed(session: LabSession, folder: Path) -> Figure:
    """Expects that site.yml has run. Everything is the product's own but what the readers read."""
    recorded = observations(session.artifacts)
    collection = staged_collection(folder / "collections")
    hosts = {
        f"replay{number:02}": {"observation": str(recorded[number % len(recorded)])} for number in range(REPLAYED_HOSTS)
    }
    inventory = folder / "hosts.yml"
    variables = {
        "ansible_connection": "local",
        "ansible_pipelining": True,  # as over ssh
        "node_class": NODE_CLASS,
        "node_health_nvml_path": [],
    }
    inventory.write_text(json.dumps({"gpu_nodes": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    environment = {**session.environment, "ANSIBLE_COLLECTIONS_PATH": str(collection)}
    replay = {"environment": {"BENCH_OBSERVATION": "{{ observation }}"}}
    # What replayed hosts remember must not be left on the machine that stands in for them.
    remembered = {"history_path": f"{folder}/history/{{{{ inventory_hostname }}}}/counters.json"}
    health = {module: {**options, **remembered} for module, options in HEALTH.items()}
    measured, floor = in_turns(*(pass_over(inventory, task, folder, environment, **replay) for task in (health, PING)))
    return Figure(
        f"node_health over {REPLAYED_HOSTS} replayed hosts", "ansible.builtin.ping over them", measured, floor, AIM
    )


def staged_collection(place: Path) -> Path:
    """The collection with readers that replay: `place` is a path of collections then."""
    collection = place / "ansible_collections" / "firstlight" / "cluster"
    for part in ("plugins", "meta"):
        shutil.copytree(ROOT / part, collection / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "galaxy.yml", collection)
    observe = collection / "plugins" / "module_utils" / "observe"
    (observe / "node.py").rename(observe / "machine.py")
    shutil.copy(Path(__file__).parent / "replay" / "node.py", observe)
    return place
