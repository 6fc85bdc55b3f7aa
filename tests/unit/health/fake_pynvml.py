# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for nvidia-ml-py's module `pynvml`; copied under that name into a directory of its own by the tests.

`FAULTS` maps a function's name to {position of the GPU, or None: NVML code}; read from FAKE_NVML in the environment,
as JSON, when the module is imported. A code of -1 crashes the process, -2 hangs.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
from types import SimpleNamespace
from typing import Any

NVML_NVLINK_MAX_LINKS = 36
VBIOS = "96.00.99.00.01"
BUSES = (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)
CONFIGURED: dict[str, Any] = json.loads(os.environ.get("FAKE_NVML", "{}"))
FAULTS: dict[str, dict[str, int]] = CONFIGURED.get("faults", {})
GPUS: list[int] = CONFIGURED.get("gpus", list(range(8)))


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        raise AssertionError("the text of an error asks the library that may be broken")


class c_nvmlGpuFabricInfo_t(ctypes.Structure):
    _fields_ = (("status", ctypes.c_uint), ("state", ctypes.c_ubyte))


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


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    _check("nvmlDeviceGetHandleByIndex", GPUS[index])
    return GPUS[index]


def nvmlDeviceGetUUID(slot: int) -> str:
    _check("nvmlDeviceGetUUID", slot)
    return f"GPU-{slot}"


def nvmlDeviceGetSerial(slot: int) -> str:
    _check("nvmlDeviceGetSerial", slot)
    return f"165{slot}"


def nvmlDeviceGetName(slot: int) -> str:
    _check("nvmlDeviceGetName", slot)
    return "NVIDIA H100 80GB HBM3"


def nvmlDeviceGetVbiosVersion(slot: int) -> bytes:
    _check("nvmlDeviceGetVbiosVersion", slot)
    return VBIOS.encode()


def nvmlDeviceGetPciInfo(slot: int) -> SimpleNamespace:
    _check("nvmlDeviceGetPciInfo", slot)
    return SimpleNamespace(busId=f"00000000:{BUSES[slot]:02X}:00.0")


def nvmlDeviceGetMinorNumber(slot: int) -> int:
    _check("nvmlDeviceGetMinorNumber", slot)
    return slot


def nvmlDeviceGetTemperature(slot: int, _sensor: int) -> int:
    _check("nvmlDeviceGetTemperature", slot)
    return 33


def nvmlDeviceGetEccMode(slot: int) -> list[int]:
    _check("nvmlDeviceGetEccMode", slot)
    return [1, 1]


def nvmlDeviceGetTotalEccErrors(slot: int, kind: int, counter: int) -> int:
    _check("nvmlDeviceGetTotalEccErrors", slot)
    return {(1, 0): 0, (1, 1): 5, (0, 0): 11}[kind, counter]


def nvmlDeviceGetRemappedRows(slot: int) -> tuple[int, int, int, int]:
    _check("nvmlDeviceGetRemappedRows", slot)
    return (1, 2, 0, 0)


def nvmlDeviceGetNvLinkState(slot: int, link: int) -> int:
    _check("nvmlDeviceGetNvLinkState", slot)
    if link >= 18:
        raise NVMLError(2)
    return 1


def nvmlDeviceGetGpuFabricInfo(slot: int, reference: Any) -> int:
    _check("nvmlDeviceGetGpuFabricInfo", slot)
    info = reference._obj
    info.state, info.status = 3, 0
    return 0
