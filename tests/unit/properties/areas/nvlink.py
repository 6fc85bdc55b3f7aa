# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVLinks and their fabric without fault, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.unit.properties.defects import UNKNOWN, Defect, gpu, tool, unit
from tests.unit.properties.machine import (
    FUNCTION_NOT_FOUND,
    INVALID_ARGUMENT,
    MISSING,
    NOT_SUPPORTED,
    Machine,
    NVMLError,
)


def healthy(random: Random, machine: Machine) -> None:
    gpus, software = machine.node_class["hardware"]["gpus"], machine.node_class["software"]
    in_fabric = gpus.get("fabric_manager") and gpus.get("fabric_state", True)
    for each in machine.gpus:
        refused = NVMLError(random.choice((NOT_SUPPORTED, FUNCTION_NOT_FOUND)))
        none = [0] * gpus.get("nvlinks", 0)
        each |= {
            "nvlinks": [1] * gpus.get("nvlinks", 0),
            "past_links": random.choice((INVALID_ARGUMENT, NOT_SUPPORTED)),
            # GPUs outside an NVSwitch fabric, and those older than Hopper, have no such state.
            "fabric_health": random.choice((0, 0b0001_10_10_10_10, 0b10_10, refused)),
            "link_mbps": [gpus.get("nvlink_mbps", 25000)] * gpus.get("nvlinks", 0),
            **dict.fromkeys(("link_failed_recoveries", "link_effective_errors"), random.choice((refused, none))),
            # Blackwell counts otherwise.
            **{key: _errors(random, gpus, refused) for key in ("link_replays", "link_recoveries", "link_crc")},
            "fabric": (3, 0) if in_fabric else random.choice(((0, 0), refused)),
        }
    machine.units["nvidia-fabricmanager.service"] = "active"
    version = software.get("fabric_manager", "570.172.08")
    machine.tools["nv-fabricmanager"] = random.choice(
        (f"Fabric Manager version is : {version}\n", f"\nFabric Manager version is : {version}\n\n")
    )


def _errors(random: Random, gpus: dict[str, Any], refused: NVMLError) -> Any:
    if random.random() < 0.2:
        return refused
    links = [0] * gpus.get("nvlinks", 0)
    if links and random.random() < 0.3:
        links[random.randrange(len(links))] = 1
    return links


def errors(key: str, many: int) -> Callable[[Machine, Random], None]:
    """So many an hour since the node was started."""

    def spoil(machine: Machine, random: Random) -> None:
        machine.history = None
        links = [0] * 18
        links[random.randrange(18)] = int(1.5 * many * max(1.0, machine.uptime / 3600)) + 1
        random.choice(machine.gpus)[key] = links

    return spoil


def slow(machine: Machine, random: Random) -> None:
    random.choice(machine.gpus)["link_mbps"] = [26562] * 17 + [25000]


def nvlink(machine: Machine, random: Random) -> None:
    links = random.choice(machine.gpus)["nvlinks"]
    links[random.randrange(len(links))] = 0


def sxid(text: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        switch = random.randrange(4)
        machine.log(f"nvidia-nvswitch{switch}: SXid (PCI:0000:{7 + switch:02x}:00.0): {text}", 0.0)

    return spoil


DEFECTS = [
    Defect("gpu.sxid", "fatal", sxid("20034, Fatal, Link 28 LTSSM Fault Up")),
    Defect("gpu.sxid", "nonfatal", sxid("10001, Non-fatal, PRI WRITE SYSB error, instance=3"), ("warn",)),
    Defect("gpu.nvlink.active", "a link is down", nvlink),
    Defect("gpu.nvlink.active", "fewer links", gpu("nvlinks", [1] * 17)),
    Defect("gpu.nvlink.active", "no links", gpu("nvlinks", [])),
    Defect("gpu.fabric_manager", "stopped", unit("nvidia-fabricmanager.service", "failed")),
    Defect("gpu.fabric_manager", "not installed", unit("nvidia-fabricmanager.service", None)),
    Defect("gpu.fabric_manager", "another version", tool("nv-fabricmanager", "Fabric Manager version is : 535.1.2")),
    Defect("gpu.fabric_manager", "no program", tool("nv-fabricmanager", MISSING), UNKNOWN),
    Defect("gpu.fabric.state", "a GPU still registers", gpu("fabric", (2, 0))),
    Defect("gpu.fabric.state", "a GPU has no fabric", gpu("fabric", (0, 0))),
    Defect("gpu.fabric.state", "a GPU refuses to tell", gpu("fabric", NVMLError(3))),
    Defect("gpu.fabric.state", "the driver cannot tell", gpu("fabric", NVMLError(13)), UNKNOWN),
    Defect("gpu.fabric.state", "a GPU failed to register", gpu("fabric", (3, 999))),
    Defect("gpu.fabric.health", "degraded bandwidth", gpu("fabric_health", 0b01)),
    Defect("gpu.fabric.health", "an unhealthy route", gpu("fabric_health", 0b01_10_10)),
    Defect("gpu.fabric.health", "too few links", gpu("fabric_health", 0b0101_10_10_10_10)),
    Defect("gpu.fabric.health", "recovering", gpu("fabric_health", 0b01_10), ("warn",)),
    Defect("gpu.fabric.health", "not told", gpu("fabric_health", NVMLError(999)), UNKNOWN),
    Defect("gpu.nvlink.speed", "a slow link", slow),
    Defect("gpu.nvlink.speed", "not told", gpu("link_mbps", NVMLError(999)), UNKNOWN),
    Defect("gpu.nvlink.effective_errors", "many", errors("link_effective_errors", 1000)),
    Defect("gpu.nvlink.effective_errors", "not told", gpu("link_effective_errors", NVMLError(999)), UNKNOWN),
    Defect("gpu.nvlink.failed_recoveries", "many", errors("link_failed_recoveries", 3)),
    Defect("gpu.nvlink.failed_recoveries", "not told", gpu("link_failed_recoveries", NVMLError(999)), UNKNOWN),
    Defect("gpu.nvlink.crc_rate", "some", errors("link_crc", 1000), ("warn",)),
    Defect("gpu.nvlink.crc_rate", "many", errors("link_crc", 10**6)),
    Defect("gpu.nvlink.crc_rate", "not told", gpu("link_crc", NVMLError(999)), UNKNOWN),
    Defect("gpu.nvlink.replay_rate", "some", errors("link_replays", 10), ("warn",)),
    Defect("gpu.nvlink.replay_rate", "many", errors("link_replays", 1000)),
    Defect("gpu.nvlink.replay_rate", "not told", gpu("link_replays", NVMLError(999)), UNKNOWN),
    Defect("gpu.nvlink.recovery_rate", "some", errors("link_recoveries", 2), ("warn",)),
    Defect("gpu.nvlink.recovery_rate", "many", errors("link_recoveries", 20)),
    Defect("gpu.nvlink.recovery_rate", "not told", gpu("link_recoveries", NVMLError(999)), UNKNOWN),
]
