# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cable plan: what it expands to, and what it refuses."""

from __future__ import annotations

import copy
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan import End, Plan, PlanError, expand_names
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan_file import PlanFileError, load

from lab.fabric.topology import small, three_tier

ROOT = Path(__file__).resolve().parents[3]
LAB = ROOT / "inventories" / "lab"
EXAMPLE = ROOT / "inventories" / "example"


def lab_content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((LAB / "cable_plan.yml").read_text())
    return content


def loaded(tmp_path: Path, content: Any) -> Plan:
    path = tmp_path / "cable_plan.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load(path)


def plugged(peer: dict[tuple[str, int], tuple[str, int]]) -> set[frozenset[str]]:
    """The lab's wiring in the plan's words."""
    return {
        frozenset(name.replace(" ", "/") if " " in name else f"{name}/{port}" for name, port in cable)
        for cable in peer.items()
    }


def planned(plan: Plan) -> set[frozenset[str]]:
    return {frozenset(map(str, cable)) for cable in plan.links()}


def test_the_lab_is_wired_as_its_cable_plan_says() -> None:
    hosts = yaml.safe_load((LAB / "hosts.yml").read_text())["gpu_nodes"]["hosts"]
    topology = small({name: {"serial": entry["serial_number"], "hcas": 8} for name, entry in hosts.items()})
    assert planned(load(LAB / "cable_plan.yml")) == plugged(topology.peer)


def test_the_example_is_the_full_fabric_cable_by_cable() -> None:
    content = yaml.safe_load((EXAMPLE / "cable_plan.yml").read_text())
    devices = content["generators"][0]["devices"]
    topology = three_tier([f"node{number:03}" for number in range(1, 512)])
    renamed = {
        frozenset(
            text.rpartition("mlx5_")[0] + devices[int(text.rpartition("_")[2])] if "/mlx5_" in text else text
            for text in cable
        )
        for cable in plugged(topology.peer)
    }
    manager = {frozenset(link) for link in content["links"]}
    assert planned(load(EXAMPLE / "cable_plan.yml")) == renamed | manager


def test_the_example_has_the_sizes_it_speaks_of() -> None:
    plan = load(EXAMPLE / "cable_plan.yml")
    assert Counter(name.partition("-")[0] for name in plan.switches) == {"leaf": 128, "spine": 128, "core": 64}
    assert len(list(plan.links())) == 12280 + 2
    assert plan.peer[End("node033", "mlx5_3")] == End("leaf-p02-r2", 1)
    assert plan.rails[End("node033", "mlx5_3")] == 2
    assert plan.cage(End("leaf-p02-r2", 33)) == "cage 17, lane 1"
    assert plan.cage(End("leaf-p02-r2", 34)) == "cage 17, lane 2"
    assert plan.cage(End("node033", "mlx5_3")) == ""


def test_a_plan_of_links_alone(tmp_path: Path) -> None:
    plan = loaded(tmp_path, {"schema": 1, "lanes_per_cage": 1, "links": [["a/mlx5_0", "sw/1"], ["b/mlx5_0", "sw/2"]]})
    assert planned(plan) == {frozenset({"a/mlx5_0", "sw/1"}), frozenset({"b/mlx5_0", "sw/2"})}
    assert plan.cage(End("sw", 2)) == ""


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("node1", ["node1"]),
        ("node[08:10]", ["node08", "node09", "node10"]),
        ("r[1:2]n[1:2]x", ["r1n1x", "r1n2x", "r2n1x", "r2n2x"]),
    ],
)
def test_ranges_are_written_as_in_an_inventory(pattern: str, names: list[str]) -> None:
    assert expand_names("nodes", [pattern]) == names


@pytest.mark.parametrize("patterns", [["node[4:1]"], ["node[1:3]", "node2"]])
def test_ranges_that_name_nothing_or_something_twice(patterns: list[str]) -> None:
    with pytest.raises(PlanError, match="nodes: "):
        expand_names("nodes", patterns)


def change(*path: str | int, to: Any = None, drop: bool = False) -> Any:
    def apply(content: dict[str, Any]) -> dict[str, Any]:
        target: Any = content
        for part in path[:-1]:
            target = target[part]
        if drop:
            del target[path[-1]]
        else:
            target[path[-1]] = to
        return content

    return apply


WRONG = {
    "no schema": (change("schema", drop=True), r"schema: is missing\. Remedy: add it: Version of this format: 1"),
    "another schema": (change("schema", to=2), r"schema: is 2, must be 1\. "),
    "a key missing": (
        change("generators", 0, "devices", drop=True),
        r"generators\[0\]\.devices: is missing\. Remedy: add it: HCAs",
    ),
    "a wrong type": (
        change("generators", 0, "spine", "count", to="two"),
        r'spine\.count: is "two", must be a whole number',
    ),
    "a list expected": (change("generators", 0, "nodes", to="node01"), r'nodes: is "node01", must be a list'),
    "an unknown key": (
        change("generators", 0, "leafs", to=1),
        r"generators\[0\]\.leafs: unknown key \(did you mean 'leaf'",
    ),
    "another kind": (
        change("generators", 0, "kind", to="torus"),
        r'kind: is "torus", must be "rail_optimised_fat_tree"',
    ),
    "a port used twice": (
        change("links", 0, 1, to="leaf-01/1"),
        r"links\[0\]: port leaf-01/1 has a second cable \(to node01/mlx5_0\)",
    ),
    "both ends the same": (
        change("links", 0, to=["x/1", "x/1"]),
        r"links\[0\]: port x/1 has a second cable \(to itself\)",
    ),
    "an end without a port": (change("links", 0, to=["ufm01", "leaf-01/32"]), r"links\[0\]: 'ufm01' is no port"),
    "a host twice": (change("generators", 0, "nodes", to=["node[01:04]", "node02"]), r"nodes: node02 appears twice"),
    "an empty range": (change("generators", 0, "nodes", to=["node[04:01]"]), r"nodes: the range of .* is empty"),
    "too many hosts": (
        change("generators", 0, "nodes", to=["node[01:09]"]),
        r"leaf: 9 nodes per pod: a leaf has 32 ports",
    ),
    "too many uplinks": (
        change("generators", 0, "spine", "cables", to=20),
        r"leaf: .*: a leaf has 32 ports for the tier above",
    ),
    "names that collide": (
        change("generators", 0, "leaf", "name", to="leaf"),
        r"leaf\.name: two switches would be called leaf",
    ),
    "a strange placeholder": (change("generators", 0, "leaf", "name", to="{rack}"), r"leaf\.name: .*It knows \{pod\}"),
    "rails that do not divide": (
        change("generators", 0, "leaf", "rails", to=3),
        r"leaf\.rails: 8 devices do not divide",
    ),
    "an alias to nowhere": (change("aliases", to={"x y": "leaf-99"}), r"aliases\.x y: 'leaf-99' is not in the plan"),
    "cores without spines": (
        lambda content: change("generators", 0, "spine", drop=True)(
            change("generators", 0, "core", to={"name": "c{index}", "count": 1, "cables": 1})(content)
        ),
        r"generators\[0\]\.spine: is missing\. Remedy: add it: The switches above the leaves",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plan_is_refused_with_file_key_and_remedy(tmp_path: Path, case: str) -> None:
    alter, message = WRONG[case]
    with pytest.raises(PlanFileError, match=message) as caught:
        loaded(tmp_path, alter(copy.deepcopy(lab_content())))
    assert re.match(rf"{re.escape(str(tmp_path / 'cable_plan.yml'))}:\d+: ", str(caught.value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: 1\n", "has neither 'generators' nor 'links'"),
        ("", "is empty, must be a mapping"),
        ("- a\n", "is a list, must be a mapping"),
        ("schema: [\n", "is no valid YAML"),
        ("schema: 1\nlinks: [[a/x, b/1]]\nlinks: [[c/x, d/1]]\n", "links: is there twice, in line 2 and in line 3"),
        ("schema: 1\n? [a]\n: 1\n", "is no text"),
    ],
)
def test_a_file_that_is_no_plan(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PlanFileError, match=message):
        loaded(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match=r"absent\.yml: does not exist"):
        load(tmp_path / "absent.yml")


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    content = change("generators", 0, "kind", to="torus")(change("schema", to=7)(lab_content()))
    with pytest.raises(PlanFileError) as caught:
        loaded(tmp_path, content)
    assert len(str(caught.value).splitlines()) == 2
