# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the roster to machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import machines
from lab.errors import LabError
from lab.machines import Site
from lab.site import Lab

from .conftest import NETWORK, roster


def test_addresses_and_hardware(site: Site) -> None:
    head, node = site.machines["head01"], site.machines["node02"]
    assert list(site.machines) == ["head01", "node01", "node02"]
    assert (head.role, head.address, head.bmc.address, head.gpus) == ("head", "198.18.7.10", "198.18.7.110", 0)
    assert (node.role, node.address, node.bmc.address, node.gpus) == ("node", "198.18.7.22", "198.18.7.122", 8)
    assert (node.serial, node.unit) == ("FL0000N02", 2)


def test_nothing_is_the_same_on_two_machines(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(roster(nodes=9)))
    built = machines.build(path, NETWORK).machines.values()
    for of in (
        lambda one: one.mac,
        lambda one: one.address,
        lambda one: one.bmc.address,
        lambda one: one.bmc.password,
        lambda one: one.serial,
    ):
        assert len({of(machine) for machine in built}) == 10
    assert not {one.address for one in built} & {one.bmc.address for one in built}


def test_saved_and_loaded_is_the_same_and_only_for_its_owner(lab: Lab, site: Site) -> None:
    assert machines.load(lab.directory) == site
    assert (lab.directory / "machines.json").stat().st_mode & 0o777 == 0o600


def test_hosts_are_found_below_all(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"children": roster()}}))
    assert set(machines.build(path, NETWORK).machines) == {"head01", "node01", "node02"}


def without(host: str, key: str) -> Any:
    content: Any = roster()
    group = "head_nodes" if host == "head01" else "gpu_nodes"
    del content[group]["hosts"][host][key]
    return content


def changed(host: str, key: str, value: Any) -> Any:
    content: Any = roster()
    content["gpu_nodes"]["hosts"][host][key] = value
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (without("node02", "serial_number"), ["node02", "serial_number", "add"]),
        (without("head01", "rack"), ["head01", "rack", "add"]),
        (changed("node01", "unit", "two"), ["node01", "unit", "int"]),
        (changed("node01", "unit", True), ["node01", "unit", "int"]),
        (changed("node01", "serial_number", 7), ["node01", "serial_number", "str"]),
        (changed("node02", "serial_number", "FL0000N01"), ["node01", "node02", "FL0000N01"]),
        ({"gpu_nodes": {"hosts": {}}, "head_nodes": roster()["head_nodes"]}, ["gpu_nodes"]),
        ({**roster(), "head_nodes": {"hosts": {"node01": {}}}}, ["node01", "serial_number"]),
        ([], ["head_nodes"]),
        ({**roster(), "gpu_nodes": {"hosts": {"node01": "x"}}}, ["node01", "mapping"]),
    ],
)
def test_a_wrong_roster_is_explained(tmp_path: Path, content: Any, words: list[str]) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(LabError) as caught:
        machines.build(path, NETWORK)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_a_host_in_both_groups_is_refused(tmp_path: Path) -> None:
    content: Any = roster()
    content["head_nodes"]["hosts"]["node01"] = content["gpu_nodes"]["hosts"]["node01"]
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(LabError, match="node01 is both"):
        machines.build(path, NETWORK)


@pytest.mark.parametrize("text", [None, "a: [", ":"])
def test_no_roster_or_no_yaml(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "hosts.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(LabError, match=r"hosts\.yml"):
        machines.build(path, NETWORK)


def test_an_unknown_machine_and_no_lab_say_what_there_is(lab: Lab, site: Site) -> None:
    with pytest.raises(LabError, match="head01, node01, node02"):
        site.machine("node09")
    with pytest.raises(LabError, match="lab up"):
        machines.load(lab.directory / "nowhere")


def test_the_lab_s_own_roster_makes_a_lab() -> None:
    path = Path(machines.__file__).parent.parent / "inventories" / "lab" / "hosts.yml"
    built = machines.build(path, NETWORK).machines
    assert list(built) == ["head01", "node01", "node02", "node03", "node04"]
