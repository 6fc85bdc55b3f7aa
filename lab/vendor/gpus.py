# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of a simulated machine: the file `gpus.state` in its machine directory, read by the lab's NVML.

README.md beside this file describes the format. A GPU is a dict: text (`uuid`, `serial`, `pci`, `name` …), numbers,
lists of numbers (`nvlink_state` …), `fail` ({function: NVML code}) and `hang` ({function: seconds, 0 for ever}).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE_NAME = "gpus.state"

_TEXT = {"uuid", "serial", "pci", "name", "part_number", "vbios", "compute_capability", "driver_loaded"}
_TEXT |= {"inforom_image", "inforom_oem", "inforom_ecc", "inforom_power"}
_LISTS = {"nvlink_state", "nvlink_replay", "nvlink_recovery", "nvlink_crc", "row_remap_histogram", "processes"}
_LISTS |= {"retired_sbe", "retired_dbe", "clocks_mhz", "clocks_max_mhz", "clocks_application_mhz"}
_INJECTIONS = ("fail", "hang")

_ECC_COUNTERS = [
    f"ecc_{counter}_{error}_{memory}"
    for counter in ("volatile", "aggregate")
    for error in ("corrected", "uncorrected")
    for memory in ("sram", "dram")
]

# Where an HGX H100 board has its GPUs; a machine with more continues after the last.
_BUSES = (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)


class StateError(ValueError):
    """A GPU state that cannot be written or read; the message names the file, the key and what is wrong with it."""


def read(machine_dir: Path) -> list[dict[str, Any]]:
    """The machine's GPUs, also those that are missing from the bus. Raises FileNotFoundError and StateError."""
    return _parse(machine_dir / FILE_NAME)[1]


def read_system(machine_dir: Path) -> dict[str, Any]:
    """What the state file says about the machine as a whole: `driver_loaded`, `fail`, `hang`."""
    return _parse(machine_dir / FILE_NAME)[0]


def write(machine_dir: Path, gpus: list[dict[str, Any]], system: Mapping[str, Any] | None = None) -> None:
    """Replaces the machine's GPUs in one step. Without `system` the machine's own part stays as it is."""
    path = machine_dir / FILE_NAME
    if system is None:
        system = read_system(machine_dir) if path.exists() else {}
    seen: set[str] = set()
    lines = ["# GPUs of a simulated machine; format in lab/vendor/README.md", *_lines(path, system)]
    for number, gpu in enumerate(gpus):
        identity = str(gpu.get("uuid", ""))
        if not identity or identity in seen:
            raise StateError(f"{path}: gpu {number}: uuid must be given and be unique, not {identity!r}")
        seen.add(identity)
        lines += ["", f"gpu {number}", *_lines(path, gpu)]
    _replace(path, "\n".join(lines) + "\n")


def healthy(count: int, serial_prefix: str) -> list[dict[str, Any]]:
    """`count` faultless H100 GPUs of the machine with this serial number; always the same for the same machine."""
    return [_healthy(index, serial_prefix) for index in range(count)]


def start(machine_dir: Path) -> None:
    """What a start of the machine does to its GPUs: ECC as it was stored, and what a driver forgets is as delivered.

    MIG is among that, as on Hopper.
    """
    if not (machine_dir / FILE_NAME).exists():
        return
    found = read(machine_dir)
    started = [{**gpu, **_started(gpu)} for gpu in found]
    for gpu in started:
        gpu.pop("mig_pending", None)
    if started != found:
        write(machine_dir, started)


def _started(gpu: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a GPU that its next start changes; a key that it lacks stays so."""
    values = {
        "ecc_mode": gpu.get("ecc_pending"),
        "mig_mode": 0,
        "persistence": "auto",
        "power_limit_mw": gpu.get("power_default_mw"),
    }
    return {key: value for key, value in values.items() if key in gpu and value is not None}


def successor(gpu: Mapping[str, Any]) -> dict[str, Any]:
    """The values that tell the part which replaces `gpu` from it; always the same for the same part."""
    return _identity(f"after {gpu['serial']}")


def _identity(name: str) -> dict[str, Any]:
    digits = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 10**10
    return {"uuid": f"GPU-{uuid.uuid5(uuid.NAMESPACE_URL, 'firstlight:' + name)}", "serial": f"165{digits:010d}"}


def _healthy(index: int, serial_prefix: str) -> dict[str, Any]:
    bus = _BUSES[index] if index < len(_BUSES) else _BUSES[-1] + 1 + index - len(_BUSES)
    return {
        **_identity(f"{serial_prefix}/gpu/{index}"),
        "pci": f"00000000:{bus:02X}:00.0",
        "pci_device_id": 0x233010DE,
        "pci_subsystem_id": 0x16C110DE,
        "minor": index,
        "module_id": index + 1,
        "name": "NVIDIA H100 80GB HBM3",
        "part_number": "692-2G520-0200-000",
        "brand": 14,
        "architecture": 9,
        "compute_capability": "9.0",
        "vbios": "96.00.99.00.01",
        "inforom_image": "G520.0200.00.05",
        "inforom_oem": "2.1",
        "inforom_ecc": "7.16",
        "present": 1,
        "lost": 0,
        "persistence": "auto",
        "compute_mode": 0,
        "mig_mode": 0,
        "ecc_mode": 1,
        "ecc_pending": 1,
        **dict.fromkeys(_ECC_COUNTERS, 0),
        "sram_threshold_exceeded": 0,
        "row_remap_correctable": 0,
        "row_remap_uncorrectable": 0,
        "row_remap_pending": 0,
        "row_remap_failure": 0,
        "row_remap_histogram": [2560, 0, 0, 0, 0],
        "temperature": 31 + index % 4,
        "temperature_memory": 40 + index % 4,
        "temperature_shutdown": 92,
        "temperature_slowdown": 89,
        "temperature_memory_max": 95,
        "temperature_gpu_max": 87,
        "power_mw": 69000 + 500 * (index % 4),
        "power_limit_mw": 700000,
        "power_default_mw": 700000,
        "power_min_mw": 200000,
        "power_max_mw": 700000,
        "energy_mj": 1000000 + index,
        "pstate": 0,
        "clocks_mhz": [345, 2619, 765],
        "clocks_max_mhz": [1980, 2619, 1545],
        "clocks_application_mhz": [1980, 2619, 1545],
        "clocks_event_reasons": 1,
        "utilization_gpu": 0,
        "utilization_memory": 0,
        "memory_total": 81559 << 20,
        "memory_reserved": 332 << 20,
        "memory_used": 4 << 20,
        "bar1_total": 128 << 30,
        "bar1_used": 1 << 20,
        "nvlinks": 18,
        "nvlink_state": [1] * 18,
        "nvlink_replay": [0] * 18,
        "nvlink_recovery": [0] * 18,
        "nvlink_crc": [0] * 18,
        "nvlink_version": 7,
        "nvlink_remote_type": 2,
        "nvlink_speed_mbps": 26562,
        "fabric_state": "auto",
        "fabric_status": 0,
        "fabric_health": 0,
        "pcie_gen": 5,
        "pcie_gen_max": 5,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "pcie_replay": 0,
        "pcie_correctable_errors": 0,
        "pcie_non_fatal_errors": 0,
        "pcie_fatal_errors": 0,
        "recovery_action": 0,
        "compute_wrong_bit": 0,
        "compute_slow": 1,
        "compute_hang": 0,
        "compute_dies": 0,
        "processes": [],
        "fail": {},
        "hang": {},
    }


def _lines(path: Path, section: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in section.items():
        if key in _INJECTIONS:
            lines += [f"{key} {_function(path, name)} {_number(path, key, n)}" for name, n in value.items()]
        elif key in _LISTS:
            lines.append(f"{key} {' '.join(_number(path, key, item) for item in value)}".rstrip())
        elif key in _TEXT or value == "auto":
            lines.append(f"{key} {_text(path, key, value)}")
        else:
            lines.append(f"{key} {_number(path, key, value)}")
    return lines


def _text(path: Path, key: str, value: object) -> str:
    text = str(value)
    if not text.isprintable() or text != text.strip() or not text:
        raise StateError(f"{path}: {key}: {value!r} is not one line of plain text")
    return text


def _function(path: Path, name: str) -> str:
    if not name.isidentifier():
        raise StateError(f"{path}: {name!r} is no name of a function to fail or hang")
    return name


def _number(path: Path, key: str, value: object) -> str:
    if not isinstance(value, (int, float)) or value < 0:
        raise StateError(f"{path}: {key}: expected a number of zero or more, found {value!r}")
    return str(int(value) if isinstance(value, bool) else value)


def _parse(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    system: dict[str, Any] = {"fail": {}, "hang": {}}
    gpus: list[dict[str, Any]] = []
    section = system
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, _, rest = line.partition(" ")
        try:
            if key == "gpu":
                section = {"fail": {}, "hang": {}}
                gpus.append(section)
            elif key in _INJECTIONS:
                name, _, amount = rest.partition(" ")
                section[key][name] = float(amount) if key == "hang" else int(amount)
            else:
                section[key] = _value(key, rest.strip())
        except ValueError as error:
            raise StateError(f"{path}, line {number}: cannot read {line!r}: {error}") from error
    return system, gpus


def _value(key: str, text: str) -> Any:
    if key in _LISTS:
        return [int(item, 0) for item in text.split()]
    return text if key in _TEXT or text == "auto" else int(text, 0)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        # Every process on the node reads it, as every process may ask the driver.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
