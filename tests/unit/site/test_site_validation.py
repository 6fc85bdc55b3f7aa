# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roster and node classes of an inventory: what is wrong is told all at once, with place and remedy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import SHIPPED, available, load_file
from ansible_collections.firstlight.cluster.plugins.module_utils.site.validate import Site, validate

CLASS: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "description": "two GPUs",
    "hardware": {
        "gpus": {"count": 2, "model": "X", "nvlinks": 18, "fabric_manager": True},
        "hcas": {"devices": ["mlx5_0", "mlx5_1"], "rate_gbps": 400},
        "memory_gib": 64,
        "mounts": ["/"],
    },
    "software": {"gpu_driver": "570.172.08", "fabric_manager": "570.172.08", "nccl": "2.27.7"},
    "thresholds": {
        "disk_used_percent": {"warn": 85, "fail": 95},
        "all_reduce_intra_busbw_gbps": 440,
        "all_reduce_inter_busbw_gbps": 440,
        "pair_ratio": 0.9,
    },
    "checks": {"exclude": [{"id": "gpu.xid", "reason": "no kernel log"}]},
}
NODE = {"serial_number": "S1", "node_class": "small", "rack": "r1", "unit": 1}


def node(number: int, **changes: Any) -> dict[str, Any]:
    values = {**NODE, "serial_number": f"S{number}", "unit": number, **changes}
    return {key: value for key, value in values.items() if value is not None}


Make = Callable[..., Site]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Judge an inventory of some nodes, and of one class with a change."""
    monkeypatch.chdir(tmp_path)
    inventory = tmp_path / "inventories" / "lab"
    (inventory / "node_classes").mkdir(parents=True)

    def call(
        nodes: dict[str, Any] | None = None,
        *,
        text: str | None = None,
        heads: dict[str, Any] | None = None,
        node_class: dict[str, Any] | None = CLASS,
        hostvars: dict[str, Any] | None = None,
    ) -> Site:
        groups = {"gpu_nodes": {"hosts": nodes}, "head_nodes": {"hosts": heads or {}}}
        (inventory / "hosts.yml").write_text(yaml.safe_dump(groups, sort_keys=False) if text is None else text)
        if node_class is not None:
            (inventory / "node_classes" / "small.yml").write_text(yaml.safe_dump(node_class, sort_keys=False))
        return validate(Path("inventories/lab"), hostvars)

    return call


def lines(site: Site) -> list[str]:
    return render(site.problems).splitlines()


def test_a_sound_site(judge: Make) -> None:
    site = judge(
        {
            "node01": node(1),
            "node02": node(2, serial_number=None, bmc_address="10.0.0.2"),
            "node03": node(3, state="racked"),
        }
    )
    assert lines(site) == []
    assert list(site.roster.nodes) == ["node01", "node02", "node03"]
    assert site.roster.nodes["node02"].bmc_address == "10.0.0.2"
    assert site.roster.classes == {"small"}
    assert site.classes["small"] == CLASS


def test_a_planned_node_needs_no_serial(judge: Make) -> None:
    site = judge({"node01": node(1), "node02": node(2, serial_number=None, state="planned")})
    assert lines(site) == []
    assert site.roster.nodes["node02"].planned
    assert not site.roster.nodes["node01"].planned


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"serial_number": None},
            "gpu_nodes.hosts.node02: has neither 'serial_number' nor 'bmc_address'. Remedy: give one of them (serial",
        ),
        ({"node_class": None}, "gpu_nodes.hosts.node02.node_class: is missing. Remedy: add it: Name of a node class"),
        ({"rack": None}, "gpu_nodes.hosts.node02.rack: is missing"),
        ({"unit": None}, "gpu_nodes.hosts.node02.unit: is missing"),
        ({"stat": "planned"}, "node02.stat: is no key of the roster (did you mean 'state'?). Remedy: correct it"),
        ({"rack": None, "rak": "r1"}, "node02.rack: is missing (is it what is written as 'rak'?)"),
        (
            {"unit": "3"},
            'gpu_nodes.hosts.node02.unit: is "3", must be a whole number. Remedy: set it to what it stands for: Lowest',
        ),
        ({"unit": 0}, "node02.unit: is 0, must be at least 1"),
        (
            {"serial_number": 12345},
            "node02.serial_number: is 12345, must be text. Remedy: set it to what it stands for: Serial number",
        ),
        ({"rack": 7}, "node02.rack: is 7, must be text"),
        ({"bmc_address": "https://10.0.0.1"}, "node02.bmc_address: 'https://10.0.0.1' does not have the form"),
        ({"state": "plannd"}, 'node02.state: is "plannd", must be "planned" or "racked" (did you mean \'planned\'?)'),
        ({"node_class": "smal"}, "node02.node_class: unknown class 'smal' (did you mean 'small'?) (known: "),
        ({"serial_number": "S1"}, "gpu_nodes.hosts.node02.serial_number: node01 has the serial number 'S1' too"),
        ({"unit": 1}, "gpu_nodes.hosts.node02.unit: node01 has the place r1/1 too"),
    ],
)
def test_what_is_wrong_with_a_node(judge: Make, changes: dict[str, Any], words: str) -> None:
    site = judge({"node01": node(1), "node02": node(2, **changes)})
    told = lines(site)
    assert len(told) == 1, told
    assert told[0].startswith("inventories/lab/hosts.yml:")
    assert words in told[0]
    assert "Remedy: " in told[0]
    assert list(site.roster.nodes) == ["node01"]


def test_the_line_is_that_of_the_key(judge: Make) -> None:
    site = judge({"node01": node(1), "node02": node(2, unit="x")})
    text = Path("inventories/lab/hosts.yml").read_text().splitlines()
    (told,) = lines(site)
    assert "unit: x" in text[int(told.split(":")[1]) - 1]


@pytest.mark.parametrize(
    ("one", "other"), [("10.0.0.1", "10.0.0.1"), ("fd00::1", "fd00:0::1"), ("bmc1.example", "BMC1.example")]
)
def test_one_bmc_for_two_nodes(judge: Make, one: str, other: str) -> None:
    (told,) = lines(judge({"node01": node(1, bmc_address=one), "node02": node(2, bmc_address=other)}))
    assert "node02.bmc_address: node01 has the BMC address" in told


def test_all_problems_are_told_at_once(judge: Make) -> None:
    site = judge(
        {
            "node01": node(1, unit="1"),
            "node02": node(2, rack=None),
            "node03": node(3, node_class="other"),
            "node04": node(4),
        },
        node_class={**CLASS, "name": "big", "software": {"gpu_driver": 570}},
    )
    told = "\n".join(lines(site))
    for words in ("node01.unit", "node02.rack", "node03.node_class", "small.yml:2: name", "software.gpu_driver"):
        assert words in told
    assert list(site.roster.nodes) == ["node04"]
    assert site.classes == {}


@pytest.mark.parametrize("nodes", [None, {}])
def test_an_empty_roster(judge: Make, nodes: dict[str, Any] | None) -> None:
    (told,) = lines(judge(nodes))
    assert "gpu_nodes: the roster is empty" in told
    assert "Remedy: name the nodes" in told


def test_no_hosts_file(tmp_path: Path) -> None:
    (problem,) = validate(tmp_path / "nowhere").problems
    assert "hosts.yml: does not exist" in str(problem)


def test_a_host_that_is_there_twice(judge: Make) -> None:
    entry = "{serial_number: S1, node_class: small, rack: r1, unit: 1}"
    (told,) = lines(judge(text=f"gpu_nodes:\n  hosts:\n    node01: {entry}\n    node01: {entry}\n"))
    assert told.startswith("inventories/lab/hosts.yml:4: gpu_nodes.hosts.node01: is there twice")


def test_a_bad_name(judge: Make) -> None:
    (told,) = lines(judge({"Node_01": node(1)}))
    assert "the name 'Node_01' does not have the form" in told


def test_head_nodes_are_held_to_the_keys_that_they_have(judge: Make) -> None:
    assert lines(judge({"node01": node(1)}, heads={"head01": None})) == []
    assert lines(judge({"node01": node(1)}, heads={"head01": {"rack": "r1", "unit": 9}})) == []
    told = lines(
        judge(
            {"node01": node(1)}, heads={"head01": {"rack": "r1", "unit": 1, "node_class": "hd", "serial_number": "S1"}}
        )
    )
    assert [line.split(": ")[1] for line in told] == [
        "gpu_nodes.hosts.node01.serial_number",
        "gpu_nodes.hosts.node01.unit",
        "head_nodes.hosts.head01.node_class",
    ]


def test_resolved_variables_win_over_the_file(judge: Make) -> None:
    nodes = {"node[01:04]": {"node_class": "small"}}
    assert any("rack: is missing (and so for 3 more, up to node04)" in line for line in lines(judge(nodes)))
    resolved = {f"node{number:02}": node(number) for number in range(1, 5)}
    site = judge(nodes, hostvars=resolved)
    assert lines(site) == []
    assert len(site.roster.nodes) == 4
    resolved["node03"]["serial_number"] = "S1"
    (told,) = lines(judge(nodes, hostvars=resolved))
    assert "gpu_nodes.hosts.node[01:04].serial_number: node01 has the serial number 'S1' too" in told


def test_a_limit_that_leaves_nobody(judge: Make) -> None:
    assert "the roster is empty" in lines(judge({"node01": node(1)}, hostvars={}))[0]


def test_a_fleet_of_511_is_judged_and_one_common_fault_is_one_line(judge: Make) -> None:
    resolved = {
        f"node{number:03}": node(number, unit=number % 40 + 1, rack=f"r{number // 40}") for number in range(1, 512)
    }
    nodes = {"node[001:511]": None}
    assert lines(judge(nodes, hostvars=resolved)) == []
    for entry in resolved.values():
        entry["node_class"] = "bigg"
    (told,) = lines(judge(nodes, hostvars=resolved))
    assert "and so for 510 more, up to node511" in told


# -- node classes --------------------------------------------------------------------------------


def edit(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set what a dotted path leads to; None takes it out."""

    def change(data: Any) -> None:
        *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
        for step in way:
            data = data[step]
        if value is None:
            del data[last]
        else:
            data[last] = value

    return change


DISKS = {
    "name": "scratch",
    "disks": {"model": "*", "count": 1},
    "layout": "single",
    "filesystem": "xfs",
    "mount": "/scratch",
}
POOL = {key: value for key, value in DISKS.items() if key != "filesystem"} | {"layout": "zfs"}
TWICE = [{"id": "gpu.xid", "reason": "x"}, {"id": "gpu.xid", "reason": "y"}]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("name", "big", "small.yml:2: name: is 'big', but the file is small.yml"),
        ("hardware.mounts", None, "hardware.mounts: is missing"),
        ("hardware.os_disk", {}, "hardware.os_disk: is empty"),
        ("hardware.os_disk", {"name": "nvme0n1"}, "hardware.os_disk.name: unknown key"),
        ("hardware.os_disk", {"size_gb": {"min": 1000, "max": 900}}, "size_gb: has a min of 1000 and a max of 900"),
        ("hardware.gpus.count", "2", 'hardware.gpus.count: is "2", must be a whole number'),
        ("hardware.gpus.model", None, "hardware.gpus.model: is missing"),
        ("hardware.gpus.modell", "x", "hardware.gpus.modell: unknown key (did you mean 'model'?)"),
        ("hardware.hcas.devices", ["a", "a"], 'hardware.hcas.devices: names "a" more than once'),
        (
            "hardware.hcas.pci_addresses",
            ["0000:1a:00.0"],
            "hardware.hcas.pci_addresses: has 1 addresses for 2 devices",
        ),
        ("software.doca_ofed", "3.1.0", "software.doca_ofed"),
        ("thresholds.disk_used_percent", {"warn": 95, "fail": 85}, "disk_used_percent: warns at 95"),
        ("software.fabric_manager", "570.1.2", "fabric_manager: is 570.1.2, but gpu_driver is 570.172.08"),
        ("checks.exclude", TWICE, "exclude[1].id: 'gpu.xid' is excluded twice"),
        (
            "checks.exclude.0.id",
            "gpu.xidd",
            "checks.exclude[0].id: 'gpu.xidd' is no check that a class can exclude (did you mean 'gpu.xid'?)",
        ),
        (
            "checks.exclude.0.id",
            "host.reachable",
            "checks.exclude[0].id: 'host.reachable' is no check that a class can",
        ),
        ("checks.exclude.0.id", "", "checks.exclude[0].id: is empty"),
        ("checks.exclude.0.reason", None, "checks.exclude[0].reason: is missing"),
        ("schema", None, "schema: is missing"),
        ("storage", {}, "storage.volumes: is missing"),
        ("storage", {"volumes": [{**DISKS, "layout": "raid7"}]}, "storage.volumes[0].layout"),
        ("storage", {"volumes": [{**DISKS, "mode": 755}]}, "storage.volumes[0].mode: is 755"),
        ("storage", {"volumes": [{**DISKS, "layout": "raid0"}]}, "disks: are 1, but raid0 needs 2 disks at least"),
        ("storage", {"volumes": [DISKS, {**DISKS, "name": "b"}]}, "volumes[1].mount: is /scratch, as is that"),
        (
            "storage",
            {"volumes": [{**POOL, "name": "mirror"}]},
            "volumes[0].name: is mirror, which ZFS keeps for itself",
        ),
        ("storage", {"volumes": [DISKS], "docker_data_root": "/docker"}, "docker_data_root: is /docker, which"),
    ],
)
def test_what_is_wrong_with_a_class(judge: Make, path: str, value: Any, words: str) -> None:
    changed = copy.deepcopy(CLASS)
    edit(path, value)(changed)
    site = judge({"node01": node(1)}, node_class=changed)
    told = lines(site)
    assert len(told) == 1, told
    assert told[0].startswith("inventories/lab/node_classes/small.yml")
    assert words in told[0]
    assert site.classes == {}


IMAGE = {"psid": "MT_0000000838", "image_uri": "http://head01/files/fw.bin", "sha256": "a" * 64}
HCAS = {
    **CLASS["hardware"]["hcas"],
    "pci_addresses": ["0000:1a:00.0", "0000:3c:00.0"],
    "firmware": "28.46.1006",
    "firmware_images": [IMAGE, {**IMAGE, "psid": "DEL0000000031", "version": "28.45.1200", "exact": True}],
}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("hardware.hcas.firmware", None, "firmware_images: are there, but no hardware.hcas.firmware. Remedy: write"),
        ("hardware.hcas.pci_addresses", None, "firmware_images: are there, but no hardware.hcas.pci_addresses. Remedy"),
        ("software.doca_ofed", None, "firmware_images: are there, but no software.doca_ofed. Remedy: pin DOCA-OFED"),
        ("hardware.hcas.firmware_images.1.psid", IMAGE["psid"], "firmware_images[1].psid: MT_0000000838 has a second"),
        ("hardware.hcas.firmware_images.0.psid", "mt", "firmware_images[0].psid: 'mt' does not"),
        ("hardware.hcas.firmware_images.0.sha256", "2c26", "firmware_images[0].sha256"),
        ("hardware.hcas.firmware_images.0.sha256", None, "firmware_images[0].sha256: is missing"),
        ("hardware.hcas.firmware_images.0.version", "latest", "firmware_images[0].version"),
        ("hardware.hcas.firmware_images.0.image_uri", "/srv/fw.bin", "firmware_images[0].image_uri"),
        ("hardware.hcas.firmware_images.0.image_uri", "https://me:word@head01/fw", "holds a password or a token"),
        ("hardware.hcas.firmware_images.0.force", True, "firmware_images[0].force: unknown key"),
    ],
)
def test_what_is_wrong_with_firmware_of_hcas(judge: Make, path: str, value: Any, words: str) -> None:
    whole = copy.deepcopy({**CLASS, "software": {**CLASS["software"], "doca_ofed": "3.1.0-091000"}})
    edit("hardware.hcas", copy.deepcopy(HCAS))(whole)
    assert lines(judge({"node01": node(1)}, node_class=whole)) == []
    edit(path, value)(whole)
    told = lines(judge({"node01": node(1)}, node_class=whole))
    assert len(told) == 1 and words in told[0], told
    assert told[0].startswith("inventories/lab/node_classes/small.yml:")


def test_a_class_with_a_key_twice(judge: Make, tmp_path: Path) -> None:
    judge({"node01": node(1)})
    path = tmp_path / "inventories" / "lab" / "node_classes" / "small.yml"
    path.write_text(path.read_text() + "name: small\n")
    data, problems = load_file(path)
    assert data is None
    assert "name: is there twice" in str(problems[0])


def test_a_sites_class_wins_over_the_collections(tmp_path: Path) -> None:
    for place in ("site", "shipped"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.yml").write_text("")
    (tmp_path / "shipped" / "b.yml").write_text("")
    found = available([tmp_path / "site", tmp_path / "shipped", tmp_path / "absent"])
    assert found == {"a": tmp_path / "site" / "a.yml", "b": tmp_path / "shipped" / "b.yml"}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yml")), ids=lambda path: path.stem)
def test_the_classes_that_are_shipped(path: Path) -> None:
    data, problems = load_file(path)
    assert render(problems) == ""
    assert data is not None


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("software", "nccl"),
        ("thresholds", "all_reduce_intra_busbw_gbps"),
        ("thresholds", "all_reduce_inter_busbw_gbps"),
        ("thresholds", "pair_ratio"),
    ],
)
def test_a_class_with_gpus_has_all_that_later_phases_take_from_it(judge: Make, part: str, key: str) -> None:
    changed = copy.deepcopy(CLASS)
    del changed[part][key]
    told = render(judge({"node001": node(1)}, node_class=changed).problems)
    assert f"{part}.{key}: is missing. Remedy: add it: " in told
