# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check: one way to fail, one to pass, one to be unreadable, and the cases at its edges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS, NODE_HEALTH
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge

from tests.unit.health.health_factory import (
    ADDRESSES,
    DENIED,
    LOST,
    Spoil,
    absent,
    drop,
    node_class,
    put,
    spoiled,
    unreadable,
    xid,
)


@dataclass(frozen=True)
class Case:
    """After `spoils`, `check` gives `component` this verdict, and says `says` about it."""

    check: str
    verdict: str
    component: str
    says: str
    spoils: tuple[Spoil, ...] = ()
    node_class: dict[str, Any] = field(default_factory=node_class)

    def __str__(self) -> str:
        return f"{self.check}-{self.verdict}-{self.says.replace(' ', '_')}"


def c(check: str, verdict: str, component: str, says: str, *spoils: Spoil, **hardware: Any) -> Case:
    return Case(check, verdict, component, says, spoils, node_class(**hardware))


def thresholds(**limits: Any) -> dict[str, Any]:
    return {**node_class(), "thresholds": limits}


WITH_ADDRESSES = {"gpus": {"pci_addresses": ADDRESSES}}
MOVED = (put("nvml|gpus|6|pci", "0000:ee:00.0"),)
MISMATCH = (unreadable("nvml", "error", "driver/library version mismatch", 18),)
NO_READERS = (lambda observation: observation.pop("readers"),)
UP = {"state": "ACTIVE", "physical_state": "LinkUp", "link_layer": "InfiniBand"}
DOWN = (put("infiniband|devices|mlx5_5|ports|1|state", "DOWN"),)
# Boards of one PSID have a version of their own.
IMAGE = {"psid": "DEL0000000031", "version": "28.46.1006", "image_uri": "http://head01/dell.bin", "sha256": "a" * 64}
OF_DELL = {"hcas": {**node_class()["hardware"]["hcas"], "firmware_images": [IMAGE]}}
BOARDS = (put("infiniband|devices|mlx5_3|board_id", "MT_0000000838"),)
UNIT = "unit:nvidia-fabricmanager.service"

CASES = [
    c("host.reachable", "pass", "host", "answers"),
    Case("host.reachable", "unknown", "host", "no readers", NO_READERS),
    # A host that is not reached never gets to the judges: the action's tests hold that case.
    c("gpu.count", "pass", "host", "8 of 8"),
    c("gpu.count", "fail", "gpu:3", "GPU 3 is missing: 7 of 8", drop("nvml|gpus|3")),
    c("gpu.count", "fail", "gpu:3", "GPU 3 at 0000:5d:00.0", drop("nvml|gpus|3"), **WITH_ADDRESSES),
    c("gpu.count", "fail", "gpu:0", "is missing", put("nvml|gpus", []), **WITH_ADDRESSES),
    c("gpu.count", "fail", "host", "0 of 8 GPUs answer", put("nvml|gpus", []), put("pci|gpus", [])),
    c("gpu.count", "fail", "gpu:6", "does not answer: GPU is lost", put("nvml|gpus|6", {"index": 6, **LOST})),
    c("gpu.count", "fail", "gpu:6", "GPU is lost", put("nvml|gpus|6|uuid", LOST)),
    c("gpu.count", "unknown", "gpu:6", "cannot be opened", put("nvml|gpus|6", {"index": 6, **DENIED})),
    c("gpu.count", "fail", "host", "8 GPUs, the class has 4", gpus={"count": 4}),
    c(
        "gpu.count",
        "fail",
        "host",
        "the class has 4; 0000:ee:00.0 fits no slot",
        *MOVED,
        gpus={"count": 4, "pci_addresses": ADDRESSES},
    ),
    c(
        "gpu.count",
        "warn",
        "host",
        "8 of 8 GPUs answer; 0000:ee:00.0 fits no slot of the class",
        *MOVED,
        **WITH_ADDRESSES,
    ),
    c("gpu.count", "unknown", "host", "no answer within 20 s", unreadable("nvml")),
    c("gpu.count", "unknown", "host", "was not read", absent("nvml")),
    c("gpu.model", "pass", "gpu:7", "is a NVIDIA H100"),
    c(
        "gpu.model",
        "fail",
        "gpu:1",
        "is a NVIDIA A100-SXM4-80GB, the class has",
        put("nvml|gpus|1|model", "NVIDIA A100-SXM4-80GB"),
    ),
    c("gpu.model", "unknown", "gpu:1", "GPU is lost (code 15)", put("nvml|gpus|1|model", LOST)),
    c("gpu.model", "pass", "gpu:2", "is a NVIDIA H100", put("nvml|gpus|1|model", LOST)),
    c("gpu.model", "unknown", "host", "lists no GPU", put("nvml|gpus", [])),
    c("gpu.driver.version", "pass", "host", "570.172.08"),
    c(
        "gpu.driver.version",
        "fail",
        "host",
        "570.133.20 is loaded, the class pins 570.172.08",
        put("nvml|driver_version", "570.133.20"),
    ),
    c("gpu.driver.version", "unknown", "host", "not supported", put("nvml|driver_version", {"error": "not supported"})),
    c("gpu.driver.version", "fail", "host", "another version than the driver", *MISMATCH),
    c("gpu.count", "unknown", "host", "version mismatch (code 18)", *MISMATCH),
    c("gpu.driver.version", "unknown", "host", "(code 9)", unreadable("nvml", "error", "driver not loaded", 9)),
    c("gpu.ecc.uncorrected", "pass", "gpu:0", "0 uncorrected"),
    c("gpu.ecc.uncorrected", "fail", "gpu:4", "2 uncorrected", put("nvml|gpus|4|ecc_volatile_uncorrected", 2)),
    c("gpu.ecc.uncorrected", "fail", "gpu:4", "ECC is off", put("nvml|gpus|4|ecc_enabled", False)),
    c("gpu.ecc.uncorrected", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|ecc_volatile_uncorrected", LOST)),
    c("gpu.ecc.uncorrected", "unknown", "gpu:4", "was not read", drop("nvml|gpus|4|ecc_volatile_uncorrected")),
    c("gpu.row_remap.pending", "pass", "gpu:0", "none pending"),
    c("gpu.row_remap.pending", "fail", "gpu:2", "pending", put("nvml|gpus|2|remapped_rows|pending", True)),
    c("gpu.row_remap.pending", "fail", "gpu:2", "a remapping failed", put("nvml|gpus|2|remapped_rows|failure", True)),
    c("gpu.row_remap.pending", "fail", "gpu:2", "512 rows", put("nvml|gpus|2|remapped_rows|uncorrectable", 512)),
    c("gpu.row_remap.pending", "pass", "gpu:2", "none failed", put("nvml|gpus|2|remapped_rows|uncorrectable", 511)),
    c("gpu.row_remap.pending", "unknown", "gpu:2", "permissions", put("nvml|gpus|2|remapped_rows", DENIED)),
    c("gpu.row_remap.pending", "unknown", "gpu:2", "was not read", drop("nvml|gpus|2|remapped_rows|failure")),
    c("gpu.temperature", "pass", "gpu:0", "34 °C"),
    c("gpu.temperature", "pass", "gpu:5", "82 °C", put("nvml|gpus|5|temperature_c", 82)),
    c("gpu.temperature", "warn", "gpu:5", "83 °C", put("nvml|gpus|5|temperature_c", 83)),
    c("gpu.temperature", "fail", "gpu:5", "90 °C", put("nvml|gpus|5|temperature_c", 90)),
    c("gpu.temperature", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|temperature_c", LOST)),
    Case("gpu.temperature", "fail", "gpu:0", "34 °C", (), thresholds(gpu_temperature_c={"warn": 20, "fail": 30})),
    c("gpu.nvlink.active", "pass", "gpu:0", "18 of 18"),
    c(
        "gpu.nvlink.active",
        "fail",
        "gpu:7",
        "17 of 18 NVLinks are active; inactive: 4",
        put("nvml|gpus|7|nvlinks|4", False),
    ),
    c("gpu.nvlink.active", "fail", "gpu:7", "shows 12 links", put("nvml|gpus|7|nvlinks", [True] * 12)),
    c("gpu.nvlink.active", "unknown", "gpu:7", "unreadable: 4 (GPU is lost", put("nvml|gpus|7|nvlinks|4", LOST)),
    c("gpu.nvlink.active", "unknown", "gpu:7", "is lost", put("nvml|gpus|7", {"index": 7, **LOST})),
    c("gpu.fabric_manager", "pass", UNIT, "runs"),
    c("gpu.fabric_manager", "pass", "program:nv-fabricmanager", "570.172.08"),
    c("gpu.fabric_manager", "pass", "gpu:3", "completed"),
    c(
        "gpu.fabric_manager",
        "fail",
        UNIT,
        "is failed (result exit-code)",
        put(
            "systemd|units|nvidia-fabricmanager.service", {"load": "loaded", "active": "failed", "result": "exit-code"}
        ),
    ),
    c(
        "gpu.fabric_manager",
        "fail",
        UNIT,
        "not installed",
        put("systemd|units|nvidia-fabricmanager.service", {"load": "not-found", "active": "inactive"}),
    ),
    c(
        "gpu.fabric_manager",
        "fail",
        "program:nv-fabricmanager",
        "535.1.2, the class pins",
        put("fabric_manager|version", "535.1.2"),
    ),
    c(
        "gpu.fabric_manager",
        "unknown",
        "program:nv-fabricmanager",
        "no such",
        unreadable("fabric_manager", "missing", "no such command"),
    ),
    c("gpu.fabric_manager", "fail", "gpu:3", "in progress", put("nvml|gpus|3|fabric|state", 2)),
    c("gpu.fabric_manager", "fail", "gpu:3", "completed, NVML error 999", put("nvml|gpus|3|fabric|status", 999)),
    c("gpu.fabric_manager", "unknown", "gpu:3", "is lost", put("nvml|gpus|3|fabric", LOST)),
    c("gpu.fabric_manager", "unknown", UNIT, "no answer", unreadable("systemd")),
    c("gpu.fabric_manager", "pass", "gpu:0", "completed", unreadable("systemd")),
    c("gpu.xid", "pass", "host", "no XID"),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 79 (GPU has fallen off the bus) 3 times",
        put("kernel_log|xids", [xid(79, count=3)]),
    ),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "fallen off the bus",
        put("kernel_log|off_bus", [{"device": ADDRESSES[2], "count": 1}]),
    ),
    c("gpu.xid", "fail", "host", "does not name", put("kernel_log|off_bus", [{"device": "", "count": 1}])),
    c("gpu.xid", "fail", "pci:0000:ff:00.0", "Xid 48", put("kernel_log|xids", [xid(48, "0000:ff:00.0")])),
    c(
        "gpu.xid",
        "fail",
        "gpu:3",
        "Xid 79",
        put("kernel_log|xids", [xid(79, ADDRESSES[3])]),
        unreadable("nvml"),
        **WITH_ADDRESSES,
    ),
    c("gpu.xid", "pass", "host", "2 harmless", put("kernel_log|xids", [xid(13), xid(45)])),
    c("gpu.xid", "pass", "host", "1 harmless", put("kernel_log|xids", [xid(63)])),
    c("gpu.xid", "warn", "gpu:2", "Xid 9999 (not in the XID table)", put("kernel_log|xids", [xid(9999)])),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 64 (row remap failure), Xid 95",
        put("kernel_log|xids", [xid(95), xid(64), xid(31)]),
    ),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 154",
        put("kernel_log|xids", [xid(154, text="changed from 0x0 (None) to 0x2 (Node Reboot Required)")]),
    ),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 154",
        put("kernel_log|xids", [xid(154, text="changed from 0x0 (None) to 0x5 (Recover IMEX Domain)")]),
    ),
    c(
        "gpu.xid",
        "pass",
        "host",
        "no XID",
        put("kernel_log|xids", [xid(154, text="changed from 0x1 (GPU Reset Required) to 0x0 (None)")]),
    ),
    c("gpu.xid", "unknown", "host", "no answer", unreadable("kernel_log")),
    c("gpu.xid", "unknown", "host", "in part only", put("kernel_log|truncated", "overwritten")),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 79",
        put("kernel_log|truncated", "overwritten"),
        put("kernel_log|xids", [xid(79)]),
    ),
    c("hca.count", "pass", "host", "8 of 8"),
    c("hca.count", "fail", "hca:mlx5_5", "mlx5_5 (rail 5) is missing: 7 of 8", drop("infiniband|devices|mlx5_5")),
    c(
        "hca.count",
        "warn",
        "hca:mlx5_9",
        "not of the class",
        put("infiniband|devices|mlx5_9", {"ports": {"1": {"link_layer": "InfiniBand"}}}),
    ),
    c(
        "hca.count",
        "pass",
        "host",
        "8 of 8",
        put("infiniband|devices|mlx5_9", {"ports": {"1": {"link_layer": "Ethernet"}}}),
    ),
    c("hca.count", "unknown", "host", "RDMA driver", unreadable("infiniband", "missing", "is the RDMA driver loaded?")),
    c("hca.state", "pass", "hca:mlx5_0", "ACTIVE"),
    c("hca.state", "fail", "hca:mlx5_5", "DOWN", *DOWN),
    c("hca.state", "fail", "hca:mlx5_5", "subnet manager", put("infiniband|devices|mlx5_5|ports|1|state", "INIT")),
    c(
        "hca.state",
        "unknown",
        "hca:mlx5_5",
        "Input/output",
        put("infiniband|devices|mlx5_5|ports|1|state", {"error": "Input/output error"}),
    ),
    c(
        "hca.state",
        "fail",
        "hca:mlx5_5",
        "ACTIVE, physically LinkErrorRecovery",
        put("infiniband|devices|mlx5_5|ports|1|physical_state", "LinkErrorRecovery"),
    ),
    c(
        "hca.state",
        "fail",
        "hca:mlx5_5",
        "LinkUp, but Ethernet",
        put("infiniband|devices|mlx5_5|ports|1|link_layer", "Ethernet"),
    ),
    # A port that is down is down, whatever else can be read of it.
    c("hca.state", "fail", "hca:mlx5_5", "DOWN", *DOWN, drop("infiniband|devices|mlx5_5|ports|1|physical_state")),
    c("hca.state", "fail", "hca:mlx5_5", "DOWN", *DOWN, drop("infiniband|devices|mlx5_5|ports|1|link_layer")),
    c(
        "hca.state",
        "unknown",
        "hca:mlx5_5",
        "was not read",
        drop("infiniband|devices|mlx5_5|ports|1|physical_state"),
    ),
    c("hca.state", "unknown", "hca:mlx5_5", "was not read", drop("infiniband|devices|mlx5_5|ports|1|link_layer")),
    c("hca.state", "unknown", "hca:mlx5_5", "no port", put("infiniband|devices|mlx5_5|ports", {})),
    c("hca.state", "unknown", "host", "none of the class's HCAs", put("infiniband|devices", {})),
    c("hca.rate", "pass", "hca:mlx5_0", "400 Gb/s"),
    c(
        "hca.rate",
        "fail",
        "hca:mlx5_1",
        "200 Gb/s, the class has 400 Gb/s",
        put("infiniband|devices|mlx5_1|ports|1|rate_gbps", 200.0),
    ),
    c("hca.rate", "warn", "hca:mlx5_1", "800 Gb/s", put("infiniband|devices|mlx5_1|ports|1|rate_gbps", 800.0)),
    c("hca.rate", "unknown", "hca:mlx5_5", "its port is DOWN", *DOWN),
    c(
        "hca.rate",
        "unknown",
        "hca:mlx5_1",
        "not a rate",
        put("infiniband|devices|mlx5_1|ports|1|rate_gbps", {"error": "not a rate"}),
    ),
    c("hca.link_downed", "pass", "hca:mlx5_0", "0 times"),
    c(
        "hca.link_downed",
        "warn",
        "hca:mlx5_2",
        "1 times",
        put("infiniband|devices|mlx5_2|ports|1|counters|link_downed", 1),
    ),
    c(
        "hca.link_downed",
        "fail",
        "hca:mlx5_2",
        "10 times",
        put("infiniband|devices|mlx5_2|ports|1|counters|link_downed", 10),
    ),
    c(
        "hca.link_downed",
        "unknown",
        "hca:mlx5_2",
        "was not read",
        put("infiniband|devices|mlx5_2|ports|1|counters", {}),
    ),
    c("hca.firmware", "pass", "hca:mlx5_0", "runs firmware 28.39.1002"),
    c(
        "hca.firmware",
        "warn",
        "hca:mlx5_2",
        "28.46.1006, the class has 28.39.1002",
        put("infiniband|devices|mlx5_2|firmware", "28.46.1006"),
    ),
    c(
        "hca.firmware",
        "fail",
        "hca:mlx5_2",
        "28.9.1002, the class has 28.39.1002",
        put("infiniband|devices|mlx5_2|firmware", "28.9.1002"),
    ),
    c(
        "hca.firmware",
        "fail",
        "hca:mlx5_2",
        "28.39.1002, the class has 28.46.1006",
        put("infiniband|devices|mlx5_2|board_id", "DEL0000000031"),
        **OF_DELL,
    ),
    c("hca.firmware", "pass", "hca:mlx5_3", "runs firmware 28.39.1002", *BOARDS, **OF_DELL),
    c(
        "hca.firmware",
        "unknown",
        "hca:mlx5_2",
        "permission denied",
        put("infiniband|devices|mlx5_2|board_id", {"error": "permission denied"}),
        **OF_DELL,
    ),
    c("hca.firmware", "unknown", "hca:mlx5_2", "'28' is no version", put("infiniband|devices|mlx5_2|firmware", "28")),
    c(
        "hca.firmware",
        "unknown",
        "hca:mlx5_2",
        "permission denied",
        put("infiniband|devices|mlx5_2|firmware", {"error": "permission denied"}),
    ),
    c("hca.firmware", "unknown", "hca:mlx5_2", "no answer", put("infiniband|devices|mlx5_2", {"error": "no answer"})),
    c("hca.firmware", "unknown", "host", "none of the class's HCAs", put("infiniband|devices", {})),
    c("disk.free", "pass", "mount:/", "40 %"),
    c("disk.free", "warn", "mount:/data", "85 %", put("storage:/data|used_percent", 85.0)),
    c("disk.free", "fail", "mount:/data", "95 %", put("storage:/data|used_percent", 95.0)),
    c("disk.free", "fail", "mount:/data", "99 % of its inodes", put("storage:/data|inodes_used_percent", 99.0)),
    c("disk.free", "fail", "mount:/data", "read-only", put("storage:/data|read_only", True)),
    c("disk.free", "fail", "mount:/data", "nothing is mounted", put("storage:/data|mounted", False)),
    c("disk.free", "pass", "mount:/data", "40 %", put("storage:/data|inodes_used_percent", None)),
    c("disk.free", "unknown", "mount:/data", "no answer", unreadable("storage:/data")),
    c("disk.free", "pass", "mount:/", "40 %", unreadable("storage:/data")),
    c("systemd.failed", "pass", "host", "no unit"),
    c("systemd.failed", "fail", "unit:docker.service", "jobs need it", put("systemd|failed", ["docker.service"])),
    c("systemd.failed", "fail", "unit:data.mount", "jobs need it", put("systemd|failed", ["data.mount"])),
    c("systemd.failed", "warn", "unit:logrotate.service", "has failed", put("systemd|failed", ["logrotate.service"])),
    c("systemd.failed", "unknown", "host", "no answer", unreadable("systemd")),
    c("docker.daemon", "pass", "unit:docker.service", "20.10.24"),
    c(
        "docker.daemon",
        "fail",
        "unit:docker.service",
        "nobody listens",
        put("docker|answers", False),
        put("docker|reason", "nobody listens"),
    ),
    c("docker.daemon", "fail", "unit:docker.service", "26.1.5, the class pins 20.10", put("docker|version", "26.1.5")),
    c("docker.daemon", "fail", "unit:docker.service", "20.100.1", put("docker|version", "20.100.1")),
    c("docker.daemon", "unknown", "host", "Permission denied", unreadable("docker", "error", "Permission denied")),
    c("clock.offset", "pass", "host", "0.000020 s"),
    c("clock.offset", "warn", "host", "0.100000 s", put("clock|offset_seconds", -0.1)),
    c("clock.offset", "fail", "host", "1.000000 s", put("clock|offset_seconds", 1.0)),
    c("clock.offset", "fail", "host", "not synchronised", put("clock|synchronised", False)),
    c("clock.offset", "pass", "host", "0.000020 s off", put("clock|reference_age_seconds", 8191.0)),
    c("clock.offset", "warn", "host", "synchronised it 8192 s ago", put("clock|reference_age_seconds", 8192.0)),
    c("clock.offset", "fail", "host", "synchronised it 86400 s ago", put("clock|reference_age_seconds", 86400.0)),
    # Set back since then by another program: nothing has synchronised it since, either.
    c("clock.offset", "fail", "host", "synchronised it 864000 s ago", put("clock|reference_age_seconds", -864000.0)),
    c("clock.offset", "pass", "host", "0.000020 s off", put("clock|root_dispersion_seconds", 0.999)),
    c("clock.offset", "warn", "host", "may be wrong by 1 s", put("clock|root_dispersion_seconds", 1.0)),
    c("clock.offset", "fail", "host", "may be wrong by 3 s", put("clock|root_dispersion_seconds", 3.0)),
    c("clock.offset", "unknown", "host", "was not read", drop("clock|reference_age_seconds")),
    Case(
        "clock.offset",
        "fail",
        "host",
        "synchronised it 40 s ago",
        (),
        thresholds(clock_reference_age_seconds={"warn": 10, "fail": 40}),
    ),
    c("clock.offset", "unknown", "host", "no such command", unreadable("clock", "missing", "no such command: chronyc")),
    c("host.memory", "pass", "host", "2017.3 GiB"),
    c("host.memory", "fail", "host", "1920.0 GiB", put("host|memory_bytes", 1920 * 1024**3)),
    c("host.memory", "warn", "host", "4096.0 GiB", put("host|memory_bytes", 4096 * 1024**3)),
    c("host.memory", "unknown", "host", "no MemTotal", put("host|memory_bytes", {"error": "no MemTotal"})),
]


def find(findings: list[Finding], check: str, component: str) -> Finding:
    matching = [item for item in findings if (item.check, item.component) == (check, component)]
    told = [f"{item.verdict.value} {item.component}: {item.summary}" for item in findings if item.check == check]
    assert len(matching) == 1, f"{check} {component}: {told}"
    return matching[0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_check(case: Case) -> None:
    findings = judge(spoiled(*case.spoils), case.node_class)
    found = find(findings, case.check, case.component)
    assert (found.verdict.value, case.says in found.summary) == (case.verdict, True), found
    # What no part answered for has no part to hand on; a GPU that does not answer is one part with one owner.
    unread = case.verdict == "unknown" and CHECKS[case.check].reads
    owners = {"host": "software", "gpu": CHECKS["gpu.count"].owner} if unread else {}
    assert found.owner == owners.get(found.component.partition(":")[0], CHECKS[case.check].owner)
    assert bool(found.remedy) is (case.verdict != "pass")


@pytest.mark.parametrize("check", NODE_HEALTH)
def test_every_check_is_seen_to_fail_to_pass_and_to_be_unreadable(check: str) -> None:
    verdicts = {case.verdict for case in CASES if case.check == check}
    wanted = {"pass", "unknown"} if check == "host.reachable" else {"pass", "fail", "unknown"}
    assert verdicts >= wanted


def test_a_healthy_node_passes_everything() -> None:
    findings = judge(spoiled(), node_class())
    assert {item.check for item in findings} == set(NODE_HEALTH)
    assert [item for item in findings if item.verdict.value != "pass"] == []


def test_a_fault_of_one_gpu_costs_the_others_nothing() -> None:
    findings = judge(spoiled(put("nvml|gpus|3", {"index": 3, **LOST})), node_class())
    spoilt = {item.component for item in findings if item.verdict.value != "pass"}
    assert spoilt == {"gpu:3"}


def test_ports_of_one_hca_are_judged_apart() -> None:
    ports = {"1": dict(UP), "2": {**UP, "state": "DOWN"}}
    findings = judge(spoiled(put("infiniband|devices|mlx5_0|ports", ports)), node_class())
    assert find(findings, "hca.state", "hca:mlx5_0/1").verdict.value == "pass"
    assert find(findings, "hca.state", "hca:mlx5_0/2").verdict.value == "fail"


def test_a_port_of_the_wrong_kind_is_mended_otherwise_than_a_cable() -> None:
    ethernet = put("infiniband|devices|mlx5_5|ports|1|link_layer", "Ethernet")
    assert "LINK_TYPE_P1=IB" in find(judge(spoiled(ethernet), node_class()), "hca.state", "hca:mlx5_5").remedy
    assert "transceiver" in find(judge(spoiled(*DOWN), node_class()), "hca.state", "hca:mlx5_5").remedy


def test_a_library_of_another_version_than_the_driver_is_mended_by_a_restart() -> None:
    findings = judge(spoiled(*MISMATCH), node_class())
    assert "restart" in find(findings, "gpu.driver.version", "host").remedy
    failed = {item.check for item in findings if item.verdict.value == "fail"}
    assert failed == {"gpu.driver.version"}, "of the others nothing is known"


FABRIC_OF_ALL = [f"nvml|gpus|{index}|fabric" for index in range(8)]
NO_FABRIC_STATE = [
    {"state": 0, "status": 0},
    {"error": "not supported", "code": 3},
    {"error": "function not found", "code": 13},
]


@pytest.mark.parametrize(("value", "verdict"), [*zip(NO_FABRIC_STATE, ["fail", "fail", "unknown"], strict=True)])
def test_gpus_that_all_tell_no_fabric_state_are_no_silence(value: Any, verdict: str) -> None:
    findings = judge(spoiled(*(put(place, value) for place in FABRIC_OF_ALL)), node_class())
    for index in range(8):
        found = find(findings, "gpu.fabric_manager", f"gpu:{index}")
        assert (found.verdict.value, "fabric_state" in found.remedy) == (verdict, True)


@pytest.mark.parametrize("value", NO_FABRIC_STATE)
def test_a_class_of_gpus_without_fabric_state_leaves_the_unit_to_judge(value: Any) -> None:
    older = node_class(gpus={"fabric_state": False})
    found = judge(spoiled(*(put(place, value) for place in FABRIC_OF_ALL)), older)
    components = [item.component for item in found if item.check == "gpu.fabric_manager"]
    assert components == [UNIT, "program:nv-fabricmanager"]
