# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A healthy node's observation and its class, to be spoiled by the tests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

ADDRESSES = [f"0000:{bus:02x}:00.0" for bus in (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)]
HCAS = [f"mlx5_{number}" for number in range(8)]
LOST = {"error": "GPU is lost", "code": 15}
DENIED = {"error": "insufficient permissions", "code": 4}

NODE_CLASS: dict[str, Any] = {
    "schema": 1,
    "name": "test",
    "description": "a class for tests",
    "hardware": {
        "gpus": {"count": 8, "model": "NVIDIA H100 80GB HBM3", "nvlinks": 18, "fabric_manager": True},
        "hcas": {"devices": HCAS, "rate_gbps": 400, "firmware": "28.39.1002"},
        "memory_gib": 2048,
        "mounts": ["/", "/data"],
    },
    "software": {"gpu_driver": "570.172.08", "fabric_manager": "570.172.08", "docker": "20.10"},
    "checks": {"exclude": []},
}


def node_class(**hardware: Any) -> dict[str, Any]:
    """The class, with parts of `hardware.gpus` replaced (`gpus={...}`) or other hardware replaced whole."""
    result = copy.deepcopy(NODE_CLASS)
    result["hardware"]["gpus"].update(hardware.pop("gpus", {}))
    result["hardware"].update(hardware)
    return result


def _gpu(index: int) -> dict[str, Any]:
    return {
        "index": index,
        "uuid": f"GPU-{index:08d}",
        "serial": f"165{index:010d}",
        "model": "NVIDIA H100 80GB HBM3",
        "vbios": "96.00.99.00.01",
        "pci": ADDRESSES[index],
        "minor": index,
        "temperature_c": 34,
        "ecc_enabled": True,
        "ecc_volatile_uncorrected": 0,
        "ecc_aggregate_uncorrected": 0,
        "ecc_volatile_corrected": 3,
        "remapped_rows": {"correctable": 0, "uncorrectable": 0, "pending": False, "failure": False},
        "nvlinks": [True] * 18,
        "fabric": {"state": 3, "status": 0},
    }


def _port() -> dict[str, Any]:
    return {
        "state": "ACTIVE",
        "physical_state": "LinkUp",
        "rate_gbps": 400.0,
        "link_layer": "InfiniBand",
        "lid": 12,
        "counters": {"link_downed": 0, "symbol_error": 0},
    }


def _hca() -> dict[str, Any]:
    return {"node_guid": "x", "firmware": "28.39.1002", "ports": {"1": _port()}}


def _storage(mount: str) -> dict[str, Any]:
    return {
        "mount": mount,
        "mounted": True,
        "type": "ext4",
        "source": "/dev/nvme0n1p1",
        "size_bytes": 100 * 1024**3,
        "available_bytes": 60 * 1024**3,
        "used_percent": 40.0,
        "inodes": 1000,
        "inodes_used_percent": 10.0,
        "read_only": False,
    }


def healthy() -> dict[str, Any]:
    """What a node without fault shows."""
    unit = {"load": "loaded", "active": "active", "sub": "running", "result": "success"}
    data: dict[str, Any] = {
        "nvml": {"driver_version": "570.172.08", "count": 8, "gpus": [_gpu(index) for index in range(8)]},
        "pci": {"gpus": [{"address": address, "device": "0x2330"} for address in ADDRESSES]},
        "infiniband": {"devices": {name: _hca() for name in HCAS}},
        "kernel_log": {
            "path": "/dev/kmsg",
            "lines": 900,
            "first_sequence": 0,
            "xids": [],
            "off_bus": [],
            "driver_loaded_us": 9_000_000,
            "truncated": "",
        },
        "systemd": {
            "failed": [],
            "units": {"nvidia-fabricmanager.service": dict(unit), "docker.service": dict(unit)},
        },
        "fabric_manager": {"version": "570.172.08"},
        "docker": {"answers": True, "reason": "", "version": "20.10.24", "api_version": "1.41"},
        "clock": {
            "synchronised": True,
            "source": "10.0.0.1",
            "stratum": 3,
            "offset_seconds": -0.00002,
            "reference_age_seconds": 40.0,
            "root_dispersion_seconds": 0.0004,
            "leap": "Normal",
        },
        "host": {
            "memory_bytes": int(2048 * 1024**3 * 0.985),
            "boot_id": "b",
            "uptime_seconds": 7200.0,
            "kernel": "6.1.0",
            "hostname": "node01",
        },
        "storage:/": _storage("/"),
        "storage:/data": _storage("/data"),
    }
    readers = {name: {"status": "ok", "data": content, "seconds": 0.1} for name, content in data.items()}
    return {"schema": 1, "taken_at": "2026-01-01T00:00:00+00:00", "seconds": 0.2, "readers": readers}


Spoil = Callable[[dict[str, Any]], None]


def put(path: str, value: Any) -> Spoil:
    """Replace what a reader read: `nvml|gpus|3|temperature_c`. Numbers are positions in lists."""

    def spoil(observation: dict[str, Any]) -> None:
        reader, *keys = path.split("|")
        target: Any = observation["readers"][reader]
        keys = ["data", *keys]
        for key in keys[:-1]:
            target = target[int(key) if isinstance(target, list) else key]
        last = keys[-1]
        target[int(last) if isinstance(target, list) else last] = copy.deepcopy(value)

    return spoil


def drop(path: str) -> Spoil:
    """Take one element out of what a reader read; path as for `put`."""

    def spoil(observation: dict[str, Any]) -> None:
        reader, *keys = path.split("|")
        target: Any = observation["readers"][reader]["data"]
        for key in keys[:-1]:
            target = target[int(key) if isinstance(target, list) else key]
        del target[int(keys[-1]) if isinstance(target, list) else keys[-1]]

    return spoil


def unreadable(
    reader: str, status: str = "timeout", error: str = "no answer within 20 s", code: int | None = None
) -> Spoil:
    """The reader gave nothing; `code` is its source's own number for that, if it has one."""

    def spoil(observation: dict[str, Any]) -> None:
        given = {} if code is None else {"code": code}
        observation["readers"][reader] = {"status": status, "error": error, "seconds": 20.0, **given}

    return spoil


def absent(reader: str) -> Spoil:
    """The reader did not even run."""

    def spoil(observation: dict[str, Any]) -> None:
        del observation["readers"][reader]

    return spoil


def xid(
    code: int, device: str = ADDRESSES[2], *, text: str = "", count: int = 1, last_us: int | None = 7_100_000_000
) -> dict[str, Any]:
    """One event as the kernel log's reader gives it; the default is 100 seconds old."""
    return {"code": code, "device": device, "count": count, "first_us": last_us, "last_us": last_us, "text": text}


def spoiled(*spoils: Spoil) -> dict[str, Any]:
    observation = healthy()
    for spoil in spoils:
        spoil(observation)
    return observation
