# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI Express: well, and not. Four rails hang on each of two switches; each GPU and HCA has a port of its own there."""

from __future__ import annotations

import itertools
from typing import Any

from tests.unit.health.areas.hca import ADDRESSES as HCA_ADDRESSES
from tests.unit.health.areas.hca import HCAS
from tests.unit.health.cases import c
from tests.unit.health.health_factory import ADDRESSES, WITH_ADDRESSES, Spoil, absent, drop, put, unreadable

LINK = {"width": 16, "gts": 32}
CLASS = {
    "hardware": {
        "gpus": {"pcie": LINK, "numa_nodes": [0, 0, 0, 0, 1, 1, 1, 1]},
        "hcas": {"pcie": LINK, "max_read_request": 4096, "beside_gpus": True},
        "acs_off": True,
        "iommu_passthrough": True,
        "relaxed_ordering": True,
    }
}

NVME = "0000:e1:00.0"
ENDPOINT, ROOT, UPSTREAM, DOWNSTREAM = 0, 4, 5, 6
# Reads of 4096 and payloads of 256 bytes, relaxed ordering.
CONTROL = 0x5930


def function(kind: str, type_: int, width: int = 16) -> dict[str, Any]:
    link = {"speed_gts": 32.0, "width": width, "max_speed_gts": 32.0, "max_width": width}
    errors: dict[str, Any] = {"correctable": {}, "nonfatal": {}, "fatal": {}}
    config = {"type": type_, "control": CONTROL, **({"acs": 0} if kind == "bridge" else {})}
    return {"kind": kind, **link, "errors": errors, "config": config}


def endpoint(kind: str, above: list[str], numa_node: int) -> dict[str, Any]:
    bars = [{"bar": 0, "bytes": 1 << 24, "assigned": True}]
    return {**function(kind, ENDPOINT), "above": above, "numa_node": numa_node, "iommu": "identity", "bars": bars}


def switch(number: int) -> list[str]:
    """Root port and upper port."""
    return [f"0000:{number}0:01.0", f"0000:{number}1:00.0"]


def port(number: int, place: int) -> str:
    return f"0000:{number}2:{place:02x}.0"


def tree() -> dict[str, Any]:
    devices: dict[str, Any] = {}
    for number in range(2):
        root, upper = switch(number)
        devices |= {root: function("bridge", ROOT), upper: function("bridge", UPSTREAM)}
        rails = range(4 * number, 4 * number + 4)
        slots = itertools.chain(*((("gpu", ADDRESSES[rail]), ("hca", HCA_ADDRESSES[rail])) for rail in rails))
        for place, (kind, address) in enumerate(slots):
            devices[port(number, place)] = function("bridge", DOWNSTREAM)
            devices[address] = endpoint(kind, [root, upper, port(number, place)], number)
    below = {"above": ["0000:e0:01.0"]}
    slot, disk = function("bridge", ROOT, 4), {**function("nvme", ENDPOINT, 4), **below}
    # Nobody asks how a disk is set.
    for each in (slot, disk):
        del each["config"]
    return {**devices, "0000:e0:01.0": slot, NVME: disk}


HEALTHY = {"pcie": {"devices": tree()}}

# What regions say of themselves. Of the last link on the way the speed is the endpoint's to tell, and of an NVMe disk
# only the lanes matter.
NOT_JUDGED = {"bar", "bytes", "speed_gts", "max_speed_gts"}

GPU, HCA, DISK, BRIDGE = (f"pcie|devices|{address}" for address in (ADDRESSES[2], HCA_ADDRESSES[5], NVME, port(0, 4)))
UPPER = f"pcie|devices|{switch(1)[1]}"
DENIED = {"error": "permission denied"}
UNREAD = unreadable("pcie")


def without(kind: str) -> Any:
    def spoil(observation: dict[str, Any]) -> None:
        devices = observation["readers"]["pcie"]["data"]["devices"]
        for address in [address for address, device in devices.items() if device["kind"] == kind]:
            del devices[address]

    return spoil


def aer(device: str, severity: str, name: str, total: int, *changes: tuple[int, float, float]) -> tuple[Spoil, Spoil]:
    """A device has counted so many errors; `changes` are growths, with the ages between which each came."""
    counter = f"pcie:{device.rpartition('|')[2]}/{severity}"
    grown = [[counter, *change] for change in changes]
    return put(f"{device}|errors|{severity}|{name}", total), put("history|changes", grown)


CASES = [
    c("pcie.devices", "pass", "host", "8 of 8 GPUs"),
    c("pcie.devices", "fail", "host", "7 of 8 GPUs", drop(GPU)),
    c("pcie.devices", "fail", "gpu:2", f"nothing like it is at {ADDRESSES[2]}", drop(GPU), **WITH_ADDRESSES),
    c(
        "pcie.devices",
        "fail",
        "hca:mlx5_5",
        f"nothing like it is at {HCA_ADDRESSES[5]}",
        drop(HCA),
        hcas={"devices": HCAS, "pci_addresses": HCA_ADDRESSES},
    ),
    c(
        "pcie.devices",
        "warn",
        "host",
        "no slot of a GPU at 0000:77:00.0",
        drop(GPU),
        put("pcie|devices|0000:77:00.0", endpoint("gpu", [], 0)),
        **WITH_ADDRESSES,
    ),
    c("pcie.devices", "unknown", "host", "no answer", UNREAD),
    c("pcie.devices", "unknown", "host", "permission", put(f"{GPU}|kind", DENIED)),
    c("pcie.gpu.width", "pass", "gpu:0", "has 16 lanes"),
    c("pcie.gpu.width", "fail", "gpu:2", "has 8 lanes, the class has 16", put(f"{GPU}|width", 8)),
    c("pcie.gpu.width", "unknown", "gpu:2", "permission", put(f"{GPU}|width", DENIED)),
    c("pcie.gpu.width", "unknown", "host", "none of them", without("gpu")),
    # Where one is gone, the addresses tell which are left; without them nobody knows.
    c("pcie.gpu.width", "pass", "gpu:7", "has 16 lanes", drop(GPU), **WITH_ADDRESSES),
    c("pcie.gpu.width", "pass", f"pci:{ADDRESSES[7]}", "has 16 lanes", drop(GPU)),
    c("pcie.gpu.speed", "pass", "gpu:0", "runs at 32 GT/s"),
    c("pcie.gpu.speed", "fail", "gpu:2", "runs at 2.5 GT/s, the class has 32 GT/s", put(f"{GPU}|speed_gts", 2.5)),
    c("pcie.gpu.speed", "unknown", "gpu:2", "permission", put(f"{GPU}|speed_gts", DENIED)),
    c("pcie.hca.width", "pass", "hca:mlx5_0", "has 16 lanes"),
    c("pcie.hca.width", "fail", "hca:mlx5_5", "has 8 lanes", put(f"{HCA}|width", 8)),
    c("pcie.hca.width", "unknown", "hca:mlx5_5", "permission", put("infiniband|devices|mlx5_5|pci", DENIED)),
    c("pcie.hca.width", "unknown", "hca:mlx5_5", "is not on the PCI bus", drop(HCA)),
    c("pcie.hca.speed", "pass", "hca:mlx5_0", "runs at 32 GT/s"),
    c("pcie.hca.speed", "fail", "hca:mlx5_5", "runs at 16 GT/s", put(f"{HCA}|speed_gts", 16.0)),
    c("pcie.hca.speed", "unknown", "host", "none of them", put("infiniband|devices", {})),
    c("pcie.path", "pass", "gpu:2", "all 2 links"),
    c("pcie.path", "fail", "gpu:2", "has 8 of 16 lanes", put(f"{BRIDGE}|width", 8)),
    c("pcie.path", "fail", "hca:mlx5_5", f"{switch(1)[0]} to {switch(1)[1]} has 8 of 16", put(f"{UPPER}|width", 8)),
    c("pcie.path", "fail", "gpu:6", "runs at 16 of 32 GT/s", put(f"{UPPER}|speed_gts", 16.0)),
    # Wired narrower than the class has it: both ends say that they can do no more.
    c(
        "pcie.path",
        "fail",
        "gpu:6",
        "has 8 of 16 lanes",
        *(put(f"{UPPER}|{key}", 8) for key in ("width", "max_width")),
    ),
    # Faster than its slot.
    c("pcie.path", "pass", "gpu:2", "all 2 links", put(f"{GPU}|max_width", 32)),
    # What a GPU does with the speed of its own link while it is idle is not for the path to judge.
    c("pcie.path", "pass", "gpu:2", "all 2 links", put(f"{GPU}|speed_gts", 2.5), put(f"{BRIDGE}|speed_gts", 2.5)),
    c("pcie.path", "unknown", "gpu:2", "permission", put(f"{BRIDGE}|max_width", DENIED)),
    c("pcie.path", "unknown", "gpu:2", "was not read", drop(BRIDGE)),
    c("pcie.nvme.width", "pass", f"pci:{NVME}", "4 of 4 lanes"),
    c("pcie.nvme.width", "pass", "host", "no NVMe disk", without("nvme")),
    c("pcie.nvme.width", "pass", f"pci:{NVME}", "4 of 4 lanes", put(f"{DISK}|max_width", 8)),
    c("pcie.nvme.width", "warn", f"pci:{NVME}", "2 of 4 lanes", put(f"{DISK}|width", 2)),
    c("pcie.nvme.width", "unknown", f"pci:{NVME}", "permission", put(f"{DISK}|width", DENIED)),
    c("pcie.errors.fatal", "pass", "host", "of 38 devices and bridges"),
    c(
        "pcie.errors.fatal",
        "fail",
        "gpu:2",
        "2 fatal PCIe errors since the boot (DLP 2), 1 of them in the last day",
        *aer(GPU, "fatal", "DLP", 2, (1, 3600, 0)),
    ),
    c(
        "pcie.errors.fatal",
        "fail",
        f"pci:{port(0, 4)}",
        "(MalfTLP 1)",
        *aer(BRIDGE, "fatal", "MalfTLP", 1, (1, 9e5, 0)),
    ),
    c("pcie.errors.fatal", "fail", "gpu:2", "(DLP 1)", *aer(GPU, "fatal", "DLP", 1), absent("history")),
    c("pcie.errors.fatal", "warn", "gpu:2", "0 of them in the last day", *aer(GPU, "fatal", "DLP", 2)),
    c("pcie.errors.fatal", "warn", "gpu:2", "0 of them", *aer(GPU, "fatal", "DLP", 2, (2, 99000, 86400))),
    c("pcie.errors.fatal", "unknown", "gpu:2", "permission", put(f"{GPU}|errors|fatal", DENIED)),
    c("pcie.errors.fatal", "unknown", "gpu:2", "counts no errors", put(f"{GPU}|errors|fatal", None)),
    c("pcie.errors.fatal", "unknown", "hca:mlx5_5", "is not on the PCI bus", drop(HCA)),
    c("pcie.errors.fatal", "pass", "host", "of 37 devices and bridges", put(f"{BRIDGE}|errors|fatal", None)),
    c("pcie.errors.nonfatal", "pass", "host", "of 38"),
    c("pcie.errors.nonfatal", "warn", "hca:mlx5_5", "(CmpltTO 1)", *aer(HCA, "nonfatal", "CmpltTO", 1, (1, 60, 0))),
    c("pcie.errors.nonfatal", "pass", "host", "of 38", *aer(HCA, "nonfatal", "CmpltTO", 1)),
    c("pcie.errors.nonfatal", "unknown", "hca:mlx5_5", "permission", put(f"{HCA}|errors", DENIED)),
    c("pcie.errors.correctable", "pass", "host", "of 38"),
    c("pcie.errors.correctable", "pass", "host", "of 38", *aer(GPU, "correctable", "BadTLP", 9999, (1919, 3600, 0))),
    c("pcie.errors.correctable", "warn", "gpu:2", "1920 of", *aer(GPU, "correctable", "BadTLP", 9999, (1920, 3600, 0))),
    c(
        "pcie.errors.correctable",
        "warn",
        f"pci:{port(0, 4)}",
        "9",
        *aer(BRIDGE, "correctable", "BadTLP", 9999, (9999, 60, 0)),
    ),
    c(
        "pcie.errors.correctable",
        "pass",
        "host",
        "of 38",
        *aer(GPU, "correctable", "BadTLP", 10**9, (10**9, 9999, 3600)),
    ),
    # The node has been up for two hours.
    c("pcie.errors.correctable", "pass", "host", "of 38", *aer(GPU, "correctable", "BadTLP", 3839), absent("history")),
    c(
        "pcie.errors.correctable",
        "warn",
        "gpu:2",
        "1920 of",
        *aer(GPU, "correctable", "BadTLP", 3840),
        absent("history"),
    ),
    c(
        "pcie.errors.correctable",
        "warn",
        "gpu:2",
        "RxErr 20",
        *aer(GPU, "correctable", "RxErr", 20, (10, 3600, 0)),
        thresholds={"pcie_correctable_per_hour": 10},
    ),
    c("pcie.errors.correctable", "unknown", "gpu:2", "permission", put(f"{GPU}|errors|correctable", DENIED)),
    c("pcie.acs", "pass", "host", "none of 20 bridges"),
    c("pcie.acs", "pass", "host", "none of 20 bridges", put(f"{BRIDGE}|config|acs", None)),
    c("pcie.acs", "fail", "host", f"ACS is on at {port(0, 4)}", put(f"{BRIDGE}|config|acs", 0x1D)),
    c("pcie.acs", "fail", "host", "ACS is on", put(f"{BRIDGE}|config|acs", 1), put(f"{UPPER}|config", DENIED)),
    c("pcie.acs", "unknown", "host", "permission", put(f"{UPPER}|config", DENIED)),
    c("pcie.acs", "unknown", "host", "permission", put(f"{GPU}|above", DENIED)),
    c("pcie.iommu", "pass", "gpu:0", "identity"),
    c("pcie.iommu", "pass", "gpu:2", "off", put(f"{GPU}|iommu", "off")),
    c("pcie.iommu", "fail", "gpu:2", "translates its addresses (DMA-FQ)", put(f"{GPU}|iommu", "DMA-FQ")),
    c("pcie.iommu", "unknown", "gpu:2", "permission", put(f"{GPU}|iommu", DENIED)),
    c("pcie.max_read_request", "pass", "hca:mlx5_0", "4096 bytes"),
    c("pcie.max_read_request", "fail", "hca:mlx5_5", "512 bytes at once", put(f"{HCA}|config|control", 0x2930)),
    c("pcie.max_read_request", "unknown", "hca:mlx5_5", "permission", put(f"{HCA}|config", DENIED)),
    c("pcie.max_read_request", "unknown", "hca:mlx5_5", "no capability", put(f"{HCA}|config|control", None)),
    c("pcie.max_payload", "pass", "gpu:0", "256 bytes"),
    c(
        "pcie.max_payload",
        "warn",
        "gpu:2",
        f"256 bytes, but of {port(0, 4)} 128",
        put(f"{BRIDGE}|config|control", 0x5910),
    ),
    c("pcie.max_payload", "unknown", "gpu:2", "permission", put(f"{BRIDGE}|config", DENIED)),
    c("pcie.relaxed_ordering", "pass", "gpu:0", "is on"),
    c("pcie.relaxed_ordering", "warn", "hca:mlx5_5", "is off", put(f"{HCA}|config|control", 0x5920)),
    c("pcie.relaxed_ordering", "unknown", "hca:mlx5_5", "permission", put(f"{HCA}|config", DENIED)),
    c("pcie.numa", "pass", "gpu:0", "NUMA node 0"),
    c("pcie.numa", "warn", "gpu:2", "belongs to NUMA node 1, the class has 0", put(f"{GPU}|numa_node", 1)),
    c("pcie.numa", "warn", "hca:mlx5_5", "tells no NUMA node, the class has 1", put(f"{HCA}|numa_node", -1)),
    c("pcie.numa", "unknown", "gpu:2", "permission", put(f"{GPU}|numa_node", DENIED)),
    c("pcie.numa", "unknown", f"pci:{ADDRESSES[7]}", "does not say", drop(GPU)),
    c("pcie.gpu_hca_pair", "pass", "hca:mlx5_2", f"with GPU 2 below {switch(0)[1]}"),
    c("pcie.gpu_hca_pair", "fail", "hca:mlx5_2", "below no bridge of it", put(f"{GPU}|above", switch(1))),
    c("pcie.gpu_hca_pair", "unknown", "hca:mlx5_2", "permission", put(f"{GPU}|above", DENIED)),
    c("pcie.bar", "pass", "gpu:0", "1 memory regions"),
    c("pcie.bar", "fail", "gpu:2", "BAR 0 (16777216 bytes)", put(f"{GPU}|bars|0|assigned", False)),
    c("pcie.bar", "fail", "gpu:2", "no memory region", put(f"{GPU}|bars", [])),
    c("pcie.bar", "unknown", "gpu:2", "permission", put(f"{GPU}|bars", DENIED)),
]
