# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: what is injected is listed, and what is healed is as it was."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from lab import fabric, faults, files, kinds, machine_view, machines, network, pci
from lab.engine import Engine, State
from lab.errors import LabError
from lab.fault_kinds import KINDS
from lab.kinds import pcie
from lab.kinds.model import Kind
from lab.machines import Site
from lab.site import Lab
from lab.vendor import gpus

from .conftest import NETWORK


class World:
    """What faults do to the outside, written down."""

    def __init__(self) -> None:
        self.running = True
        self.done: list[tuple[Any, ...]] = []
        self.broken: set[str] = set()

    def do(self, name: str) -> Any:
        def act(*arguments: Any) -> str:
            if name in self.broken:
                raise LabError(f"{name} does not work")
            shown = [one for one in arguments if isinstance(one, str | int)]
            self.done.append((name, *shown, *(one for one in arguments if isinstance(one, list))))
            return ""

        return act


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, lab: Lab, site: Site) -> World:
    one = World()
    for name in ("unplug", "plug", "slow_down", "full_speed", "set_mtu"):
        monkeypatch.setattr(network, name, one.do(name))
    for name in ("hca_down", "hca_up", "set_counter"):
        monkeypatch.setattr(fabric, name, one.do(name))
    monkeypatch.setattr(Engine, "execute", one.do("execute"))
    monkeypatch.setattr(Engine, "state", lambda self, name: State(True, one.running))
    for machine in site.machines.values():
        directory = lab.machine_directory(machine.name)
        machine_view.prepare(directory, machine, NETWORK)
        if machine.gpus:
            gpus.write(directory, gpus.healthy(machine.gpus, machine.serial))
    return one


def snapshot(lab: Lab) -> dict[str, bytes]:
    """Everything a fault may change in files, of all machines; boot ids and the like do not change here."""
    found = {}
    # With os.walk, as there are thousands and each test looks at them three times.
    for folder, directories, names in os.walk(lab.directory):
        for name in (*names, *directories):
            path = os.path.join(folder, name)  # noqa: PTH118
            inside = path.removeprefix(f"{lab.directory}/")
            if os.path.islink(path):  # noqa: PTH114
                found[inside] = os.readlink(path).encode()  # noqa: PTH115
            elif name in names and name not in ("faults.json", "faults.lock"):
                with open(path, "rb") as file:  # noqa: PTH123
                    found[inside] = file.read()
    return found


GPU_FAULTS = [
    ("gpu-missing", "present", 0),
    ("gpu-hangs", "hang", {"nvmlDeviceGetTemperature": 0.0}),
    ("ecc-uncorrected", "ecc_volatile_uncorrected_dram", 2),
    ("row-remap-pending", "row_remap_pending", 1),
    ("xid-79", "lost", 1),
    ("gpu-wrong-bits", "compute_wrong_bit", 1),
    ("gpu-kernel-hangs", "compute_hang", 1),
    ("gpu-dies", "compute_dies", 1),
    ("gpu-slow", "compute_slow", 50),
    ("gpu-throttled", "clocks_event_reasons", 0x40),
]


@pytest.mark.parametrize(("kind", "key", "value"), GPU_FAULTS)
def test_a_gpu_fault_is_one_gpu_s_and_heals_without_a_trace(
    lab: Lab, world: World, kind: str, key: str, value: Any
) -> None:
    before = snapshot(lab)
    faults.inject(lab, "node02", kind, {"gpu": 5})
    states = gpus.read(lab.machine_directory("node02"))
    assert [gpu[key] == value for gpu in states] == [index == 5 for index in range(8)]
    changed = {name.split("/")[1] for name, content in snapshot(lab).items() if content != before[name]}
    assert changed == {"node02"}
    assert faults.heal(lab, "node02") == [kind]
    assert snapshot(lab) == before


VIEW_FAULTS = [
    ("command-line", "cmdline", " iommu=pt", False),
    ("oops", "proc_sys/kernel/tainted", "128", True),
    ("swap-on", "swaps", "/swap.img", True),
    ("cpu-missing", "cpuinfo", "physical id\t: 1\n", False),
    ("microcode", "cpuinfo", "0x2b0004b1", True),
    ("machine-check", "proc_sys/kernel/tainted", "16", True),
    ("memory-uncorrected", "sysfs/system/edac/mc/mc3/ue_count", "1", True),
    ("memory-corrected", "sysfs/system/edac/mc/mc3/ce_count", "1000000000", True),
    ("nvme-unreliable", machine_view.SMART_LOG, '"critical_warning": 4', True),
    ("nvme-worn", machine_view.SMART_LOG, '"percent_used": 103', True),
    ("nvme-no-spare", machine_view.SMART_LOG, '"avail_spare": 4', True),
    ("nvme-media-errors", machine_view.SMART_LOG, '"media_errors": 3', True),
    ("nvme-hot", machine_view.SMART_LOG, '"temperature": 361', True),
    ("nvme-dead", "sysfs/class/nvme/nvme0/state", "dead", True),
    ("raid-degraded", "mdstat", "[2/1]", True),
    ("page-offline", "meminfo", "HardwareCorrupted: ", True),
]


@pytest.mark.parametrize(("kind", "file", "text", "there"), VIEW_FAULTS)
def test_a_fault_of_the_view_is_seen_in_the_running_machine_and_heals_without_a_trace(
    lab: Lab, world: World, kind: str, file: str, text: str, there: bool
) -> None:
    before = snapshot(lab)
    path = lab.machine_directory("node02") / file
    inode = path.stat().st_ino
    faults.inject(lab, "node02", kind, {})
    assert (text in path.read_text(encoding="utf-8")) is there
    changed = {name for name, content in snapshot(lab).items() if content != before[name]}
    assert changed == {f"{lab.machine_directory('node02').relative_to(lab.directory)}/{file}"}
    assert faults.heal(lab, "node02") == [kind]
    assert snapshot(lab) == before
    assert path.stat().st_ino == inode, "it is mounted in the machine"


def test_a_unit_is_stopped_and_started_where_there_is_one(lab: Lab, world: World) -> None:
    faults.inject(lab, "node01", "unit-stopped", {})
    assert "systemctl stop nvidia-persistenced.service" in world.done[-1][-1][-1]
    faults.heal(lab, "node01")
    assert "systemctl start nvidia-persistenced.service" in world.done[-1][-1][-1]


def test_xid_79_is_in_the_kernel_log_with_the_gpu_s_address(lab: Lab, world: World) -> None:
    faults.inject(lab, "node01", "xid-79", {"gpu": 2})
    last = (lab.machine_directory("node01") / "kmsg").read_text().splitlines()[-1]
    assert "NVRM: Xid (PCI:0000:3a:00): 79," in last


def test_healing_one_fault_of_two_kinds_on_a_gpu_heals_both_and_no_other_node(lab: Lab, world: World) -> None:
    before = snapshot(lab)
    faults.inject(lab, "node01", "gpu-missing", {"gpu": 1})
    other = {name: content for name, content in snapshot(lab).items() if "/node01/" in name}
    faults.inject(lab, "node02", "xid-79", {"gpu": 1})
    faults.inject(lab, "node02", "ecc-uncorrected", {"gpu": 1})
    assert faults.heal(lab, "node02") == ["ecc-uncorrected", "xid-79"]
    assert {name: content for name, content in snapshot(lab).items() if "/node01/" in name} == other
    assert list(faults.of(lab.directory)) == ["node01"]
    faults.heal(lab, "node01")
    assert snapshot(lab) == before


@pytest.mark.parametrize(
    ("kind", "given", "injected", "healed"),
    [
        ("unreachable", {}, [("unplug",)], [("plug",)]),
        ("slow-link", {}, [("slow_down", 40)], [("full_speed",)]),
        ("slow-link", {"mbit": 5}, [("slow_down", 5)], [("full_speed",)]),
        (
            "hca-flaps",
            {"hca": 4},
            [("set_counter", "node01", 4, "LinkDownedCounter", 12)],
            [("set_counter", "node01", 4, "LinkDownedCounter", 0)],
        ),
        (
            "hca-symbol-errors",
            {"hca": 1},
            [("set_counter", "node01", 1, "SymbolErrorCounter", 50_000)],
            [("set_counter", "node01", 1, "SymbolErrorCounter", 0)],
        ),
        (
            "hca-down",
            {"hca": 6},
            [("hca_down", "node01", 6)],
            [("hca_up", "node01", 6), ("set_counter", "node01", 6, "LinkDownedCounter", 0)],
        ),
    ],
)
def test_what_is_done_outside_is_undone_outside(
    lab: Lab, world: World, kind: str, given: dict[str, int], injected: list[Any], healed: list[Any]
) -> None:
    faults.inject(lab, "node01", kind, given)
    assert world.done == injected
    world.done.clear()
    faults.heal(lab, "node01")
    assert world.done == healed


def test_a_full_disk_needs_a_disk(lab: Lab, world: World) -> None:
    with pytest.raises(LabError, match="deploy it first"):
        faults.inject(lab, "node01", "disk-full", {})


def test_clock_offset_is_told_to_that_node_alone(lab: Lab, world: World) -> None:
    faults.inject(lab, "node02", "clock-offset", {"seconds": 7})
    assert files.read_json(lab.directory / "ntp.json") == {"198.18.7.22": 7.0}
    world.broken.add("execute")
    faults.heal(lab, "node02")
    assert files.read_json(lab.directory / "ntp.json") == {}, "also where its chronyd cannot be asked"


def test_docker_stays_dead_until_healed(lab: Lab, world: World) -> None:
    faults.inject(lab, "node01", "dockerd-dead", {})
    assert "mask" in world.done[-1][-1][-1]
    world.running = False
    with pytest.raises(LabError, match="power it on"):
        faults.heal(lab, "node01")
    assert faults.of(lab.directory)["node01"], "still listed"
    world.running = True
    assert faults.heal(lab, "node01") == ["dockerd-dead"]
    assert "unmask" in world.done[-1][-1][-1]


@pytest.mark.parametrize("kind", pcie.KINDS, ids=lambda kind: kind.name)
def test_a_fault_of_pcie_is_one_machine_s_and_heals_without_a_trace(lab: Lab, world: World, kind: Kind) -> None:
    before = snapshot(lab)
    parameters = {parameter.name: 5 for parameter in kind.parameters}
    faults.inject(lab, "node02", kind.name, parameters)
    after = snapshot(lab)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed and {name.split("/")[1] for name in changed} == {"node02"}
    assert faults.heal(lab, "node02") == [kind.name]
    assert snapshot(lab) == before
    # A machine that was started in the meantime has nothing to be healed of.
    faults.inject(lab, "node02", kind.name, parameters)
    pci.write(lab.machine_directory("node02") / "sysfs/bus/pci", machines.load(lab.directory).machines["node02"])
    faults.heal(lab, "node02")
    assert snapshot(lab) == before


def test_a_wrong_mtu_is_set_right_again(lab: Lab, world: World) -> None:
    faults.inject(lab, "node01", "mtu-wrong", {})
    faults.heal(lab, "node01")
    assert [call for call in world.done if call[0] == "set_mtu"] == [("set_mtu", 2000), ("set_mtu", 1500)]


def test_a_fault_of_the_system_needs_a_system(lab: Lab, world: World) -> None:
    world.running = False
    with pytest.raises(LabError, match="node01 is off"):
        faults.inject(lab, "node01", "dockerd-dead", {})
    assert not faults.of(lab.directory)


def test_an_injection_that_fails_half_way_can_be_healed(lab: Lab, world: World) -> None:
    world.broken.add("hca_down")
    with pytest.raises(LabError, match="hca_down"):
        faults.inject(lab, "node01", "hca-down", {})
    assert faults.heal(lab, "node01") == ["hca-down"]


def test_the_same_fault_twice_is_refused_and_another_gpu_s_is_not(lab: Lab, world: World) -> None:
    faults.inject(lab, "node01", "gpu-missing", {})
    with pytest.raises(LabError, match="already"):
        faults.inject(lab, "node01", "gpu-missing", {"gpu": 0})
    faults.inject(lab, "node01", "gpu-missing", {"gpu": 1})
    assert faults.heal(lab, "node01") == ["gpu-missing", "gpu-missing"]
    assert faults.heal(lab, "node01") == []


@pytest.mark.parametrize(
    ("node", "kind", "given", "words"),
    [
        ("node09", "xid-79", {}, ["node09", "node01, node02"]),
        ("head01", "xid-79", {}, ["head01", "node01, node02"]),
        ("node01", "xid-80", {}, ["xid-80", *KINDS]),
        ("node01", "xid-79", {"hca": 1}, ["--hca", "--gpu"]),
        ("node01", "disk-full", {"gpu": 1}, ["--gpu", "no parameter"]),
        ("node01", "xid-79", {"gpu": 8}, ["--gpu 8", "0 to 7"]),
        ("node01", "hca-down", {"hca": -1}, ["--hca -1", "0 to 7"]),
        ("node01", "slow-link", {"mbit": 0}, ["--mbit 0", "1 to"]),
    ],
)
def test_a_wrong_order_names_what_is_right_and_does_nothing(
    lab: Lab, world: World, node: str, kind: str, given: dict[str, int], words: list[str]
) -> None:
    before = snapshot(lab)
    with pytest.raises(LabError) as caught:
        faults.inject(lab, node, kind, given)
    for word in words:
        assert word in str(caught.value)
    assert snapshot(lab) == before
    assert not world.done
    assert not faults.of(lab.directory)


def test_the_list_says_what_a_person_and_a_test_need() -> None:
    listed = {entry["kind"]: entry for entry in faults.kinds()}
    assert set(listed) >= {
        *("gpu-missing", "gpu-hangs", "ecc-uncorrected", "row-remap-pending", "hca-down", "hca-flaps", "xid-79"),
        *("disk-full", "dockerd-dead", "unreachable", "slow-link", "clock-offset"),
    }
    for entry in listed.values():
        assert set(entry) == {"kind", "parameters", "check", "summary"}
    assert listed["gpu-missing"]["parameters"] == {"gpu": 0}
    assert listed["unreachable"]["check"] == "host.reachable"


def test_every_kind_of_every_file_is_in_the_list_and_none_takes_the_place_of_another() -> None:
    written = [
        kind.name
        for path in Path(kinds.__path__[0]).glob("[a-z]*.py")
        for kind in getattr(importlib.import_module(f"lab.kinds.{path.stem}"), "KINDS", ())
    ]
    assert sorted(written) == sorted(KINDS)


def test_fault_file_is_where_it_is_looked_for(lab: Lab, world: World) -> None:
    faults.inject(lab, "node01", "gpu-missing", {"gpu": 3})
    (entry,) = files.read_json(Path(lab.directory, "faults.json"))["node01"]
    assert (entry["kind"], entry["parameters"]) == ("gpu-missing", {"gpu": 3})


def test_a_swapped_gpu_is_another_part_without_its_faults(lab: Lab, world: World) -> None:
    directory = lab.machine_directory("node02")
    whole = gpus.read(directory)
    for kind in ("gpu-missing", "ecc-uncorrected"):
        faults.inject(lab, "node02", kind, {"gpu": 3})
    faults.inject(lab, "node02", "ecc-uncorrected", {"gpu": 5})
    before, after = faults.swap_gpu(lab, "node02", 3)
    state = gpus.read(directory)
    assert before == whole[3]["serial"] != after == state[3]["serial"]
    assert state[3] == {**whole[3], "serial": after, "uuid": state[3]["uuid"]}
    assert state[3]["uuid"] != whole[3]["uuid"]
    assert [(fault["kind"], fault["parameters"]) for fault in faults.of(lab.directory)["node02"]] == [
        ("ecc-uncorrected", {"gpu": 5})
    ]
    assert faults.heal(lab, "node02") == ["ecc-uncorrected"]
    assert gpus.read(directory)[3]["serial"] == after, "what was exchanged stays"
    assert faults.swap_gpu(lab, "node02", 3)[1] not in (before, after)
    with pytest.raises(LabError, match="--gpu 8: node02 takes 0 to 7"):
        faults.swap_gpu(lab, "node02", 8)


def test_no_ssh_is_kept_from_the_next_system_and_from_the_one_that_runs(lab: Lab, world: World) -> None:
    before = snapshot(lab)
    faults.inject(lab, "node01", "no-ssh", {})
    assert "ssh.service" in (lab.machine_directory("node01") / machine_view.MASKED).read_text(encoding="utf-8")
    assert "mask --runtime" in world.done[-1][-1][-1]
    faults.heal(lab, "node01")
    assert "unmask --runtime" in world.done[-1][-1][-1] and snapshot(lab) == before


def test_an_impatient_maas_is_one_whose_time_outs_are_short(lab: Lab, world: World) -> None:
    faults.inject(lab, "maas", "impatient", {"seconds": 45})
    assert files.read_json(lab.directory / "maas-faults.json") == {"patience": 45}
    assert faults.heal(lab, "maas") == ["impatient"]
    assert files.read_json(lab.directory / "maas-faults.json") == {}
