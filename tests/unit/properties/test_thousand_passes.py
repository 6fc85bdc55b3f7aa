# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand passes over healthy nodes find nothing; with one defect each, the same nodes are always found out."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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
from tests.unit.properties.machine import (
    GIB,
    MISSING,
    SILENT,
    Machine,
    NVMLError,
    answering,
    healthy,
    observe,
    statvfs,
    tracking,
    write,
)

PASSES = 1000
SEEDS_PER_DEFECT = 3
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
RICH = "lab-h100"
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


def test_a_thousand_passes_over_healthy_nodes_find_nothing(place: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(PASSES):
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


@dataclass(frozen=True)
class Defect:
    """`check` must say one of `verdicts` about a machine that `spoil` has been at."""

    check: str
    name: str
    spoil: Callable[[Machine, Random], None]
    verdicts: tuple[str, ...] = ("fail",)

    def __str__(self) -> str:
        return f"{self.check}: {self.name}"


def gpu(key: str, value: Any) -> Callable[[Machine, Random], None]:
    """One GPU, whichever, has another value."""

    def spoil(machine: Machine, random: Random) -> None:
        random.choice(machine.gpus)[key] = value(random) if callable(value) else value

    return spoil


def nvlink(machine: Machine, random: Random) -> None:
    links = random.choice(machine.gpus)["nvlinks"]
    links[random.randrange(len(links))] = 0


def lose_gpu(machine: Machine, random: Random) -> None:
    del machine.gpus[random.randrange(len(machine.gpus))]


def hang_up(machine: Machine, random: Random) -> None:
    """The GPU answers NVML with `lost`, as it does after it fell off the bus."""
    lost = random.choice(machine.gpus)
    lost.update({key: NVMLError(15) for key in lost if key not in ("nvlinks", "past_links")})


def hca(file: str, content: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.hca(random.choice(machine.node_class["hardware"]["hcas"]["devices"]), file, content)

    return spoil


def firmware(version: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
        machine.files[f"sys/class/infiniband/{name}/fw_ver"] = version

    return spoil


def lose_hca(machine: Machine, random: Random) -> None:
    name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
    for path in [path for path in machine.files if f"/infiniband/{name}/" in path]:
        del machine.files[path]


def log(text: str, age: float = 60.0) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.uptime += 2 * age
        machine.files["proc/uptime"] = f"{machine.uptime:.2f} 1.00"
        machine.log(text.format(bus=random.choice(machine.gpus)["bus_id"].__str__().lower()[-9:-7]), age)
        random.shuffle(machine.kernel_log)

    return spoil


def xid(code: int) -> Callable[[Machine, Random], None]:
    return log(f"NVRM: Xid (PCI:0000:5d:00): {code}, pid='<unknown>', name=<unknown>, something or other")


NVLINK_5 = "NVRM: Xid (PCI:0000:5d:00): 145, RLW_REMAP {severity} XC1 i0 Link 10 (0x00000082 0x00000040 0x00000000)"


def disk(**state: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        mount = random.choice(sorted(machine.mounts))
        machine.mounts[mount] = statvfs(random, 500 * GIB, **state)

    return spoil


def unmount(machine: Machine, random: Random) -> None:
    mount = random.choice(sorted(machine.mounts))
    lines = machine.files["proc/self/mountinfo"].splitlines()
    machine.files["proc/self/mountinfo"] = "\n".join(line for line in lines if line.split(" ")[4] != mount)


def tool(name: str, printed: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.tools[name] = printed(random) if callable(printed) else printed

    return spoil


def put(**values: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        for name, value in values.items():
            setattr(machine, name, value)

    return spoil


def unit(name: str, state: str | None) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        machine.units[name] = state or ""

    return spoil


def memory(share: float) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        total = int(machine.node_class["hardware"]["memory_gib"] * 1024**2 * share)
        machine.files["proc/meminfo"] = f"MemFree: 1 kB\nMemTotal:       {total} kB"

    return spoil


def forget(*paths: str) -> Callable[[Machine, Random], None]:
    """Files below one of these folders cannot be found."""

    def spoil(machine: Machine, _random: Random) -> None:
        for path in [path for path in machine.files if path.startswith(paths)]:
            del machine.files[path]

    return spoil


UNKNOWN = ("unknown",)
DEFECTS = [
    Defect("gpu.count", "a GPU is gone", lose_gpu),
    Defect("gpu.count", "a GPU is lost", hang_up),
    Defect("gpu.count", "the driver is not loaded", put(nvml_error=9), UNKNOWN),
    Defect("gpu.count", "no GPU at all", put(gpus=[])),
    Defect("gpu.count", "one in a slot that the class does not have", gpu("bus_id", "0000:ee:00.0"), ("warn",)),
    Defect("gpu.model", "one of another model", gpu("model", "NVIDIA H100 PCIe")),
    Defect("gpu.model", "no GPU at all", put(gpus=[]), UNKNOWN),
    Defect("gpu.driver.version", "an older driver", put(driver=b"535.129.03")),
    Defect("gpu.driver.version", "library and driver differ", put(nvml_error=18)),
    Defect("gpu.driver.version", "the driver is not loaded", put(nvml_error=9), UNKNOWN),
    Defect("gpu.ecc.uncorrected", "errors", gpu("uncorrected", lambda random: random.randint(1, 10**6))),
    Defect("gpu.ecc.uncorrected", "ECC is off", gpu("ecc", 0)),
    Defect("gpu.ecc.uncorrected", "not told", gpu("uncorrected", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.uncorrected", "whether ECC is on is not told", gpu("ecc", NVMLError(999)), UNKNOWN),
    Defect("gpu.row_remap.pending", "pending", gpu("rows", (0, 1, 1, 0))),
    Defect("gpu.row_remap.pending", "failed", gpu("rows", (0, 1, 0, 1))),
    Defect("gpu.row_remap.pending", "spent", gpu("rows", (0, 512, 0, 0))),
    Defect("gpu.row_remap.pending", "not told", gpu("rows", NVMLError(3)), UNKNOWN),
    Defect("gpu.temperature", "warm", gpu("temperature", lambda random: random.randint(83, 89)), ("warn",)),
    Defect("gpu.temperature", "hot", gpu("temperature", lambda random: random.randint(90, 120))),
    Defect("gpu.temperature", "not told", gpu("temperature", NVMLError(17)), UNKNOWN),
    Defect("gpu.nvlink.active", "a link is down", nvlink),
    Defect("gpu.nvlink.active", "fewer links", gpu("nvlinks", [1] * 17)),
    Defect("gpu.nvlink.active", "no links", gpu("nvlinks", [])),
    Defect("gpu.fabric_manager", "stopped", unit("nvidia-fabricmanager.service", "failed")),
    Defect("gpu.fabric_manager", "not installed", unit("nvidia-fabricmanager.service", None)),
    Defect("gpu.fabric_manager", "another version", tool("nv-fabricmanager", "Fabric Manager version is : 535.1.2")),
    Defect("gpu.fabric_manager", "no program", tool("nv-fabricmanager", MISSING), UNKNOWN),
    Defect("gpu.fabric_manager", "a GPU still registers", gpu("fabric", (2, 0))),
    Defect("gpu.fabric_manager", "a GPU has no fabric", gpu("fabric", (0, 0))),
    Defect("gpu.fabric_manager", "a GPU refuses to tell", gpu("fabric", NVMLError(3))),
    Defect("gpu.fabric_manager", "the driver cannot tell", gpu("fabric", NVMLError(13)), UNKNOWN),
    Defect("gpu.fabric_manager", "a GPU failed to register", gpu("fabric", (3, 999))),
    *(Defect("gpu.xid", f"Xid {code}", xid(code)) for code in (46, 48, 62, 64, 74, 79, 95, 109, 119, 140, 143, 168)),
    *(Defect("gpu.xid", f"Xid {code}", xid(code), ("warn",)) for code in (92, 9999)),
    Defect("gpu.xid", "off the bus", log("NVRM: GPU at PCI:0000:{bus}:00: GPU has fallen off the bus.")),
    Defect("gpu.xid", "NVLink 5, fatal", log(NVLINK_5.format(severity="Fatal"))),
    Defect("gpu.xid", "NVLink 5, nonfatal", log(NVLINK_5.format(severity="Nonfatal")), ("warn",)),
    Defect("gpu.xid", "recovery", log("NVRM: Xid (PCI:0000:5d:00): 154, changed from 0x0 (None) to 0x2 (Node Reboot)")),
    Defect("gpu.xid", "cured by a reset, long ago", log("NVRM: Xid (PCI:0000:5d:00): 95, Uncontained", 1e6), ("warn",)),
    Defect("gpu.xid", "cured by nothing, long ago", log("NVRM: Xid (PCI:0000:5d:00): 119, Timeout after 6s", 1e6)),
    Defect("hca.count", "an HCA is gone", lose_hca),
    Defect("hca.count", "no driver", forget("sys/class/infiniband/"), UNKNOWN),
    Defect("hca.state", "down", hca("state", "1: DOWN")),
    Defect("hca.state", "initialising", hca("state", "2: INIT")),
    Defect("hca.state", "recovering", hca("phys_state", "6: LinkErrorRecovery")),
    Defect("hca.state", "Ethernet", hca("link_layer", "Ethernet")),
    Defect("hca.state", "no physical state", hca("phys_state", ""), UNKNOWN),
    Defect("hca.state", "half a file", hca("state", "4"), UNKNOWN),
    Defect("hca.rate", "half the rate", hca("rate", "200 Gb/sec (4X HDR)")),
    Defect("hca.rate", "one lane", hca("rate", "100 Gb/sec (1X NDR)")),
    Defect("hca.rate", "no rate", hca("rate", "fast"), UNKNOWN),
    Defect("hca.link_downed", "once", hca("counters/link_downed", "1"), ("warn",)),
    Defect("hca.link_downed", "often", hca("counters/link_downed", "4711")),
    Defect("hca.link_downed", "no count", hca("counters/link_downed", "none"), UNKNOWN),
    Defect("hca.link_downed", "less than nothing", hca("counters/link_downed", "-1"), UNKNOWN),
    Defect("hca.firmware", "of another release", firmware("28.47.1088"), ("warn",)),
    Defect("hca.firmware", "too old", firmware("28.9.1002")),
    Defect("hca.firmware", "none told", firmware(""), UNKNOWN),
    Defect("disk.free", "filling", disk(used=0.86), ("warn",)),
    Defect("disk.free", "full", disk(used=0.999)),
    Defect("disk.free", "read-only", disk(used=0.2, read_only=True)),
    Defect("disk.free", "not mounted", unmount),
    Defect("systemd.failed", "a unit that jobs need", put(failed_units=["docker.service"])),
    Defect("systemd.failed", "a mount", put(failed_units=["data.mount", "logrotate.service"])),
    Defect("systemd.failed", "another unit", put(failed_units=["logrotate.service"]), ("warn",)),
    Defect("docker.daemon", "nobody listens", put(docker={})),
    Defect("docker.daemon", "stopped", unit("docker.service", "inactive")),
    Defect("docker.daemon", "not well", put(docker={"/_ping": b"starting", "/version": b'{"Version": "20.10.24"}'})),
    Defect("docker.daemon", "another version", put(docker={"/_ping": b"OK", "/version": b'{"Version": "26.1.5"}'})),
    Defect("docker.daemon", "no answer of Docker", put(docker={"/_ping": b"OK", "/version": b"<html>"}), UNKNOWN),
    Defect("clock.offset", "off", tool("chronyc", lambda random: tracking(random, 0.2)), ("warn",)),
    Defect("clock.offset", "far off", tool("chronyc", lambda random: tracking(random, -7.0))),
    Defect("clock.offset", "alone", tool("chronyc", lambda random: tracking(random, 1e-6, "Not synchronised"))),
    Defect("clock.offset", "left alone", tool("chronyc", lambda random: tracking(random, 1e-6, age=1e5))),
    Defect("clock.offset", "forgotten", tool("chronyc", lambda random: tracking(random, 1e-6, age=1e4)), ("warn",)),
    Defect("clock.offset", "of a bad server", tool("chronyc", lambda random: tracking(random, 1e-6, dispersion=4.0))),
    Defect("clock.offset", "cut off", tool("chronyc", lambda random: tracking(random, 0, "Not sync")), UNKNOWN),
    Defect("clock.offset", "silent", tool("chronyc", SILENT), UNKNOWN),
    Defect("clock.offset", "no chrony", tool("chronyc", MISSING), UNKNOWN),
    Defect("host.memory", "a DIMM less", memory(31 / 32 * 0.985)),
    Defect("host.memory", "twice as much", memory(2.0), ("warn",)),
    Defect("host.memory", "not told", forget("proc/meminfo"), UNKNOWN),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_one_defect_in_a_healthy_machine_is_always_found(defect: Defect, place: Path) -> None:
    node_class = CLASSES[RICH]
    for seed in range(SEEDS_PER_DEFECT):
        random = Random(seed)
        machine = healthy(random, node_class)
        defect.spoil(machine, random)
        findings = judge(observe(machine, place), node_class)
        wrong = [item for item in findings if item.verdict.value != "pass"]
        verdicts = {item.verdict.value for item in wrong if item.check == defect.check}
        assert verdicts & {*defect.verdicts}, f"seed {seed}: {told(wrong)}"


def test_every_check_that_reads_something_has_a_defect() -> None:
    """`host.reachable` reads nothing: a node that does not answer has no observation at all."""
    assert {defect.check for defect in DEFECTS} == {*NODE_HEALTH} - {"host.reachable"}
