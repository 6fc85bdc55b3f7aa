# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for nvidia-ml-py's module `pynvml`; copied under that name into a directory of its own by the tests.

The GPUs are those of the lab's state file LAB_GPUS_STATE. `fail FUNCTION CODE` of a GPU lets that function fail for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


def _gpus() -> list[dict[str, str]]:
    gpus: list[dict[str, str]] = []
    for line in Path(os.environ["LAB_GPUS_STATE"]).read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == "gpu":
            gpus.append({})
        elif key == "fail":
            gpus[-1][line.rpartition(" ")[0]] = line.rpartition(" ")[2]
        elif gpus and key:
            gpus[-1][key] = value
    return [gpu for gpu in gpus if gpu.get("present") != "0"]


def nvmlInit() -> None:
    if not Path(os.environ["LAB_GPUS_STATE"]).exists():
        raise NVMLError(9)


def nvmlDeviceGetCount() -> int:
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index: int) -> str:
    gpu = _gpus()[index]
    if gpu.get("lost") == "1":
        raise NVMLError(15)
    return gpu["uuid"]


def nvmlDeviceGetHandleByUUID(uuid: str) -> str:
    return uuid


def _answer(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    def ask(uuid: str, *arguments: int) -> Any:
        gpu = next(gpu for gpu in _gpus() if gpu["uuid"] == uuid)
        if f"fail {name}" in gpu:
            raise NVMLError(int(gpu[f"fail {name}"]))
        return make(gpu, *arguments)

    return ask


def _errors(gpu: dict[str, str], kind: int, _counter: int) -> int:
    return int(gpu[f"ecc_volatile_{('corrected', 'uncorrected')[kind]}_dram"])


for _name, _make in {
    "nvmlDeviceGetUUID": lambda gpu: gpu["uuid"],
    "nvmlDeviceGetName": lambda gpu: gpu["name"],
    "nvmlDeviceGetMinorNumber": lambda gpu: int(gpu["minor"]),
    "nvmlDeviceGetPciInfo": lambda gpu: SimpleNamespace(busId=gpu["pci"]),
    "nvmlDeviceGetTemperature": lambda gpu, _sensor: int(gpu["temperature"]),
    "nvmlDeviceGetClockInfo": lambda gpu, kind: int(gpu["clocks_mhz"].split()[0 if kind == 1 else 1]),
    "nvmlDeviceGetPowerUsage": lambda gpu: int(gpu["power_mw"]),
    "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: int(gpu["clocks_event_reasons"]),
    "nvmlDeviceGetTotalEccErrors": _errors,
    "nvmlDeviceGetNvLinkState": lambda gpu, link: int(gpu["nvlink_state"].split()[link]),
    "nvmlDeviceGetNvLinkErrorCounter": lambda gpu, link, _counter: int(gpu["nvlink_replay"].split()[link]),
}.items():
    globals()[_name] = _answer(_name, _make)
