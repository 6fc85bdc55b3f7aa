# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for nvidia-ml-py's module `pynvml`; copied under that name into a directory of its own by the tests.

`FAULTS` maps a function's name to {position of the GPU, or None: NVML code}; read from FAKE_NVML in the environment,
as JSON, when the module is imported. A code of -1 crashes the process, -2 hangs. `SECONDS` is how long it takes to
open a GPU, as without persistence mode.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

NVML_NVLINK_MAX_LINKS = 36
VBIOS = "96.00.99.00.01"
BUSES = (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)
CONFIGURED: dict[str, Any] = json.loads(os.environ.get("FAKE_NVML", "{}"))
FAULTS: dict[str, dict[str, int]] = CONFIGURED.get("faults", {})
GPUS: list[int] = CONFIGURED.get("gpus", list(range(8)))
SECONDS: float = CONFIGURED.get("seconds", 0.0)


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        raise AssertionError("the text of an error asks the library that may be broken")


class c_nvmlGpuFabricInfo_t(ctypes.Structure):
    _fields_ = (("status", ctypes.c_uint), ("state", ctypes.c_ubyte))


class c_nvmlGpuFabricInfo_v3_t(ctypes.Structure):
    _fields_ = (("healthMask", ctypes.c_uint32),)


class c_nvmlGpuFabricInfo_v2_t(c_nvmlGpuFabricInfo_v3_t):
    pass


class c_nvmlEccSramErrorStatus_v1_t(ctypes.Structure):
    _fields_ = (("bThresholdExceeded", ctypes.c_uint),)


def _check(name: str, slot: int | None = None) -> None:
    code = FAULTS.get(name, {}).get("all" if slot is None else str(slot), 0)
    if code == -1:
        os.kill(os.getpid(), signal.SIGSEGV)
    while code == -2:
        signal.pause()
    if code:
        raise NVMLError(code)


def nvmlInit() -> None:
    _check("nvmlInit")


def nvmlDeviceGetCount() -> int:
    _check("nvmlDeviceGetCount")
    return len(GPUS)


def nvmlSystemGetDriverVersion() -> bytes:
    _check("nvmlSystemGetDriverVersion")
    return b"570.172.08"


def nvmlSystemGetCudaDriverVersion() -> int:
    _check("nvmlSystemGetCudaDriverVersion")
    return 12080


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    _check("nvmlDeviceGetHandleByIndex", GPUS[index])
    time.sleep(SECONDS)
    return GPUS[index]


def _value(slot: int, key: str) -> Any:
    """What a healthy GPU in `slot` has."""
    return {
        "uuid": f"GPU-{slot}",
        "serial": f"165{slot}",
        "model": "NVIDIA H100 80GB HBM3",
        "vbios": VBIOS.encode(),
        "bus_id": f"00000000:{BUSES[slot]:02X}:00.0",
        "pci_device": 0x233010DE,
        "minor": slot,
        "persistence": 1,
        "mig": [0, 0],
        "compute_mode": 0,
        "inforom": None,
        "clocks_max": (1980, 2619),
        "clocks_application": (1980, 2619),
        "clocks_default": (1980, 2619),
        "memory": (81559 << 20, 4 << 20),
        "bar1": 128 << 30,
        "processes": [],
        "temperature": 33,
        "temperature_memory": 41,
        "clock_sm": 345,
        "power_mw": 69500,
        "power_limit_mw": 700000,
        "power_default_mw": 700000,
        "utilization": 0,
        "reasons": 1,
        "ecc": 1,
        "ecc_pending": 1,
        "sram": 0,
        "sram_exceeded": 0,
        "spent_banks": 0,
        "recovery": 0,
        "reset_status": None,
        "drain_status": None,
        "retired_pending": None,
        "thermal_ns": 12,
        "uncorrected": 0,
        "aggregate": 5,
        "corrected": 11,
        "replays": 2,
        "rows": (1, 2, 0, 0),
        "nvlinks": [1] * 18,
        "past_links": 2,
        "fabric": (3, 0),
        "fabric_health": 0,
        "link_mbps": [26562] * 18,
        "link_replays": [0] * 17 + [2],
        "link_recoveries": [0] * 18,
        "link_crc": [1, 4] + [0] * 16,
        # Of GPUs with NVLink 5.
        "link_failed_recoveries": [None] * 18,
        "link_effective_errors": [None] * 18,
    }[key]


def _links(value: Callable[[str], Any], link: int) -> int:
    """The state of one link; past the last of the GPU, the code that is `past_links`."""
    links: list[int] = value("nvlinks")
    if link >= len(links):
        raise NVMLError(value("past_links"))
    return links[link]


def _fabric(value: Callable[[str], Any], info: Any) -> int:
    info = getattr(info, "_obj", info)  # by reference, where ctypes made one
    info.state, info.status = value("fabric")
    return 0


def _fabric_health(value: Callable[[str], Any], info: Any) -> int:
    getattr(info, "_obj", info).healthMask = value("fabric_health")
    return 0


def _sram_status(value: Callable[[str], Any], status: Any) -> int:
    getattr(status, "_obj", status).bThresholdExceeded = value("sram_exceeded")
    return 0


# Fields by their numbers, of the GPU and of its links; a GPU whose value is None does not have the field.
_FIELDS = {
    82: "temperature_memory",
    230: "recovery",
    226: "reset_status",
    227: "drain_status",
    31: "retired_pending",
    75: "thermal_ns",
}
_LINK_FIELDS = {
    161: "link_replays",
    162: "link_recoveries",
    163: "link_crc",
    164: "link_mbps",
    214: "link_failed_recoveries",
    219: "link_effective_errors",
}


def _fields(value: Callable[[str], Any], asked: list[Any]) -> list[SimpleNamespace]:
    return [_field(value, field) for field in asked]


def _field(value: Callable[[str], Any], field: Any) -> SimpleNamespace:
    try:
        found = value(_LINK_FIELDS[field[0]])[field[1]] if isinstance(field, tuple) else value(_FIELDS[field])
    except NVMLError as error:
        return SimpleNamespace(nvmlReturn=error.value)
    except IndexError:
        found = None
    if found is None:
        return SimpleNamespace(nvmlReturn=3)
    return SimpleNamespace(nvmlReturn=0, valueType=1, value=SimpleNamespace(uiVal=found))


# How each function of NVML answers of one GPU, from what the GPU has; every stand-in for NVML answers by this table.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "nvmlDeviceGetUUID": lambda value: value("uuid"),
    "nvmlDeviceGetSerial": lambda value: value("serial"),
    "nvmlDeviceGetName": lambda value: value("model"),
    "nvmlDeviceGetVbiosVersion": lambda value: value("vbios"),
    "nvmlDeviceGetPciInfo": lambda value: SimpleNamespace(busId=value("bus_id"), pciDeviceId=value("pci_device")),
    "nvmlDeviceGetMinorNumber": lambda value: value("minor"),
    "nvmlDeviceGetTemperature": lambda value, _sensor: value("temperature"),
    "nvmlDeviceGetEccMode": lambda value: [value("ecc"), value("ecc_pending")],
    "nvmlDeviceGetMemoryErrorCounter": lambda value, _kind, _counter, _location: value("sram"),
    "nvmlDeviceGetSramEccErrorStatus": _sram_status,
    "nvmlDeviceGetRowRemapperHistogram": lambda value: SimpleNamespace(none=value("spent_banks")),
    "nvmlDeviceGetPersistenceMode": lambda value: value("persistence"),
    "nvmlDeviceGetMigMode": lambda value: value("mig"),
    "nvmlDeviceGetComputeMode": lambda value: value("compute_mode"),
    "nvmlDeviceValidateInforom": lambda value: value("inforom"),
    "nvmlDeviceGetClockInfo": lambda value, _domain: value("clock_sm"),
    "nvmlDeviceGetMaxClockInfo": lambda value, domain: value("clocks_max")[domain - 1],
    "nvmlDeviceGetApplicationsClock": lambda value, domain: value("clocks_application")[domain - 1],
    "nvmlDeviceGetDefaultApplicationsClock": lambda value, domain: value("clocks_default")[domain - 1],
    "nvmlDeviceGetMemoryInfo": lambda value, _version: SimpleNamespace(
        **dict(zip(("total", "used"), value("memory"), strict=True))
    ),
    "nvmlDeviceGetBAR1MemoryInfo": lambda value: SimpleNamespace(bar1Total=value("bar1")),
    "nvmlDeviceGetComputeRunningProcesses": lambda value: [SimpleNamespace(pid=pid) for pid in value("processes")],
    "nvmlDeviceGetPowerUsage": lambda value: value("power_mw"),
    "nvmlDeviceGetEnforcedPowerLimit": lambda value: value("power_limit_mw"),
    "nvmlDeviceGetPowerManagementDefaultLimit": lambda value: value("power_default_mw"),
    "nvmlDeviceGetUtilizationRates": lambda value: SimpleNamespace(gpu=value("utilization")),
    "nvmlDeviceGetCurrentClocksEventReasons": lambda value: value("reasons"),
    "nvmlDeviceGetFieldValues": _fields,
    "nvmlDeviceGetTotalEccErrors": lambda value, kind, counter: value(
        {(1, 0): "uncorrected", (1, 1): "aggregate", (0, 0): "corrected"}[kind, counter]
    ),
    "nvmlDeviceGetPcieReplayCounter": lambda value: value("replays"),
    "nvmlDeviceGetRemappedRows": lambda value: value("rows"),
    "nvmlDeviceGetNvLinkState": _links,
    "nvmlDeviceGetGpuFabricInfo": _fabric,
    "nvmlDeviceGetGpuFabricInfoV": _fabric_health,
}


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in FUNCTIONS:
        raise AttributeError(f"this pynvml has no {name}")

    def ask(slot: int, *arguments: Any) -> Any:
        _check(name, slot)
        return FUNCTIONS[name](functools.partial(_value, slot), *arguments)

    return ask
