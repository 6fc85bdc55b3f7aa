# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand passes over healthy nodes find nothing; with one defect each, the same nodes are always found out."""

from __future__ import annotations

import copy
import functools
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import NODE_HEALTH, expected_checks
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import node

from tests.unit.conftest import ROOT
from tests.unit.properties.areas import areas
from tests.unit.properties.defects import Defect
from tests.unit.properties.machine import answering, healthy, observe, write

CLASSES: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted([*ROOT.glob("node_classes/*.yml"), *ROOT.glob("inventories/lab/node_classes/*.yml")])
}
BRIDGED = "bridged"
# Of another kind: no NVLink, no fabric manager, a site's own limits.
CLASSES[BRIDGED] = {
    "name": BRIDGED,
    "hardware": {
        "gpus": {"count": 4, "model": "NVIDIA L40S"},
        "hcas": {"devices": ["mlx5_0"], "rate_gbps": 200},
        "memory_gib": 512,
        "mounts": ["/"],
    },
    "software": {"gpu_driver": "550.90.07"},
}


def _with(node_class: Any, more: Any) -> Any:
    if isinstance(node_class, dict) and isinstance(more, dict):
        both = {key: _with(node_class[key], more[key]) for key in node_class.keys() & more.keys()}
        return copy.deepcopy({**node_class, **more, **both})
    return more


# Expects every check.
RICH = "rich"
CLASSES[RICH] = functools.reduce(
    _with, (getattr(area, "CLASS", {}) for area in areas()), {**CLASSES["lab-h100"], "name": RICH}
)
# What is made up here has a list of modules, which the lab's nodes may lack.
CLASSES[RICH]["checks"] = {"exclude": []}
# With NVSwitches and a fabric manager, and GPUs that are too old to tell of it.
AMPERE = "ampere"
CLASSES[AMPERE] = copy.deepcopy(CLASSES[RICH])
CLASSES[AMPERE]["name"] = AMPERE
CLASSES[AMPERE]["hardware"]["gpus"] |= {"model": "NVIDIA A100-SXM4-80GB", "fabric_state": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine")


def told(findings: list[Finding]) -> list[str]:
    return [f"{item.verdict.value} {item.check} {item.component}: {item.summary}" for item in findings]


@pytest.mark.parametrize("passes", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_passes_over_healthy_nodes_find_nothing(place: Path, passes: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(passes):
        random = Random(seed)
        node_class = CLASSES[random.choice(sorted(CLASSES))]
        observation = observe(healthy(random, node_class), place)
        unread = {name: each for name, each in observation["readers"].items() if each["status"] != "ok"}
        assert not unread, f"seed {seed}: {unread}"
        findings = judge(observation, node_class)
        wrong = [item for item in findings if item.verdict.value != "pass"]
        assert not wrong, f"seed {seed}, class {node_class['name']}: {told(wrong)}"
        assert {item.check for item in findings} == set(expected_checks(node_class))
        seen.update(item.check for item in findings)
    assert seen.keys() == set(NODE_HEALTH)


def test_the_machines_of_two_seeds_differ_in_what_healthy_machines_differ_in(place: Path) -> None:
    """Else a thousand passes were one, a thousand times."""
    node_class = CLASSES[RICH]
    read = [observe(healthy(Random(seed), node_class), place)["readers"] for seed in range(40)]
    for of in (
        lambda each: each["nvml"]["data"]["gpus"][0]["temperature_c"],
        lambda each: each["nvml"]["data"]["gpus"][0]["serial"],
        lambda each: each["infiniband"]["data"]["devices"]["mlx5_0"]["ports"]["1"]["counters"]["symbol_error"],
        lambda each: len(each["infiniband"]["data"]["devices"]),
        lambda each: each["kernel_log"]["data"]["lines"],
        lambda each: len(each["kernel_log"]["data"]["xids"]),
        lambda each: each["clock"]["data"]["offset_seconds"],
        lambda each: each["docker"]["data"]["version"],
        lambda each: each["host"]["data"]["memory_bytes"],
        lambda each: each["host"]["data"]["uptime_seconds"],
        lambda each: each["storage:/"]["data"]["used_percent"],
    ):
        values = [str(of(each)) for each in read]
        assert len(set(values)) > 1, values[0]


def test_the_readers_in_processes_of_their_own_read_the_same(place: Path) -> None:
    node_class = CLASSES[RICH]
    machine = healthy(Random(7), node_class)
    write(machine, place)
    with answering(machine, place, root=place) as sources:
        forked = node.observe(sources, deadline=20.0)
    plain = observe(machine, place)
    for name, result in forked["readers"].items():
        # What is not there is told with its path, which here begins elsewhere.
        both = (result["data"], plain["readers"][name]["data"])
        there, here = (json.dumps(read).replace(str(place), "") for read in both)
        assert (name, json.loads(there)) == (name, json.loads(here))
        assert result["status"] == "ok"
    assert {item.verdict.value for item in judge(forked, node_class)} == {"pass"}


# -- the counterpart: one defect in a machine that is otherwise well


DEFECTS: list[Defect] = [defect for area in areas() for defect in area.DEFECTS]


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_one_defect_in_a_healthy_machine_is_always_found(defect: Defect, place: Path) -> None:
    # Another machine for each.
    random = Random(str(defect))
    machine = healthy(random, CLASSES[RICH])
    defect.spoil(machine, random)
    findings = judge(observe(machine, place), CLASSES[RICH])
    wrong = [item for item in findings if item.verdict.value != "pass"]
    verdicts = {item.verdict.value for item in wrong if item.check == defect.check}
    assert verdicts & {*defect.verdicts}, told(wrong)


def test_every_check_that_reads_something_has_a_defect() -> None:
    """`host.reachable` reads nothing: a node that does not answer has no observation at all."""
    assert {defect.check for defect in DEFECTS} == {*NODE_HEALTH} - {"host.reachable"}
