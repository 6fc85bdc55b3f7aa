# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs and a driver without fault, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.unit.properties.defects import UNKNOWN, Defect, gpu, put
from tests.unit.properties.machine import BUSES, FUNCTION_NOT_FOUND, NOT_SUPPORTED, Machine, NVMLError

# The lab's nodes have no CUDA of their own.
CLASS = {"software": {"cuda": "12.8"}}


def healthy(random: Random, machine: Machine) -> None:
    for index, each in enumerate(machine.gpus):
        each |= _identity(random, machine.node_class["hardware"]["gpus"], index)
        each |= _settings(random, machine)
    driver = machine.node_class["software"].get("gpu_driver", "570.172.08")
    machine.cuda = random.choice((12080, 12090, 13000))
    machine.driver = random.choice((driver, driver.encode()))
    _pci(random, machine)


def _identity(random: Random, gpus: dict[str, Any], index: int) -> dict[str, Any]:
    addresses = gpus.get("pci_addresses")
    bus = int(addresses[index].split(":")[1], 16) if addresses else BUSES[index]
    text: Callable[[str], Any] = random.choice((lambda value: value, lambda value: value.encode()))
    optional = random.random() < 0.1
    refused = NVMLError(random.choice((NOT_SUPPORTED, FUNCTION_NOT_FOUND)))
    return {
        "uuid": text(f"GPU-{random.getrandbits(128):032x}"),
        "serial": text(f"165{random.randrange(10**10):010d}"),
        "model": text(gpus["model"]),
        "vbios": refused if optional else text("96.00.99.00.01"),
        "pci_device": int("".join(reversed(gpus.get("pci_device_id", "10de:26b9").split(":"))), 16),
        "bus_id": text(f"{random.choice(('0000', '00000000'))}:{bus:{random.choice(('02x', '02X'))}}:00.0"),
        # Minor numbers are given in the order in which the driver met the GPUs, not always that of the slots.
        "minor": refused if random.random() < 0.05 else index,
    }


def _settings(random: Random, machine: Machine) -> dict[str, Any]:
    gpus = machine.node_class["hardware"]["gpus"]
    refused = NVMLError(random.choice((NOT_SUPPORTED, FUNCTION_NOT_FOUND)))
    clocks = tuple(gpus.get("clocks_max_mhz", {"sm": 2520, "memory": 9001}).values())
    default = random.choice((clocks, (1095, clocks[1])))
    busy = random.random() < 0.5
    pid = random.randrange(2, 4 * 10**6)
    if busy:
        machine.files[f"proc/{pid}/stat"] = f"{pid} (python) 3) {random.choice('RSD')} 1 {pid} {pid} 0 -1"
    return {
        "persistence": 1,
        "mig": random.choice(([0, 0], refused)),
        "compute_mode": 0,
        "inforom": None,
        "clocks_max": clocks,
        # Clocks for applications go out of use: the newest drivers have none.
        "clocks_application": random.choice((default, default, refused)),
        "clocks_default": default,
        "memory": ((gpus.get("memory_mib", 46068) << 20) - random.randrange(64 << 20), random.randrange(600 << 20)),
        "bar1": gpus.get("bar1_mib", 65536) << 20,
        "processes": [pid] if busy else [],
    }


def _pci(random: Random, machine: Machine) -> None:
    devices = [(gpu["bus_id"], "0x10de", "0x030200", "0x2330") for gpu in machine.gpus]
    # NVSwitches, a management controller's VGA, network: none of them is a GPU.
    devices += [(f"0000:{bus:02x}:00.0", "0x10de", "0x068000", "0x22a3") for bus in (0x07, 0x08, 0x09, 0x0A)]
    devices += [("0000:03:00.0", "0x1a03", "0x030000", "0x2000"), ("0000:1b:00.0", "0x15b3", "0x020700", "0x1021")]
    random.shuffle(devices)
    for bus_id, vendor, kind, device in devices:
        text = bus_id.decode() if isinstance(bus_id, bytes) else bus_id
        folder = f"sys/bus/pci/devices/0000:{text.lower().split(':', 1)[1]}"
        machine.files |= {f"{folder}/vendor": vendor, f"{folder}/class": kind, f"{folder}/device": device}


def lose_gpu(machine: Machine, random: Random) -> None:
    del machine.gpus[random.randrange(len(machine.gpus))]


def hang_up(machine: Machine, random: Random) -> None:
    """The GPU answers NVML with `lost`, as it does after it fell off the bus."""
    lost = random.choice(machine.gpus)
    lost.update({key: NVMLError(15) for key in lost if key not in ("nvlinks", "past_links")})


def same(key: str) -> Callable[[Machine, Random], None]:
    """Two GPUs have one value."""

    def spoil(machine: Machine, random: Random) -> None:
        one, other = random.sample(machine.gpus, 2)
        one[key] = other[key]

    return spoil


def leak(machine: Machine, random: Random) -> None:
    random.choice(machine.gpus).update({"memory": (81559 << 20, 1024 << 20), "processes": []})


DEFECTS = [
    Defect("gpu.count", "a GPU is gone", lose_gpu),
    Defect("gpu.count", "a GPU is lost", hang_up),
    Defect("gpu.count", "the driver is not loaded", put(nvml_error=9), UNKNOWN),
    Defect("gpu.count", "no GPU at all", put(gpus=[])),
    Defect("gpu.count", "one in a slot that the class does not have", gpu("bus_id", "0000:ee:00.0"), ("warn",)),
    Defect("gpu.model", "one of another model", gpu("model", "NVIDIA H100 PCIe")),
    Defect("gpu.model", "no GPU at all", put(gpus=[]), UNKNOWN),
    Defect("gpu.pci_device", "another part", gpu("pci_device", 0x233110DE)),
    Defect("gpu.pci_device", "not told", gpu("bus_id", NVMLError(999)), UNKNOWN),
    Defect("gpu.identity", "no serial number", gpu("serial", NVMLError(3)), ("warn",)),
    Defect("gpu.identity", "one number twice", same("serial"), ("warn",)),
    Defect("gpu.identity", "one UUID twice", same("uuid"), ("warn",)),
    Defect("gpu.identity", "not told", gpu("serial", NVMLError(999)), UNKNOWN),
    Defect("gpu.vbios", "another than the others", gpu("vbios", "96.00.74.00.01"), ("warn",)),
    Defect("gpu.vbios", "not told", gpu("vbios", NVMLError(999)), UNKNOWN),
    Defect("gpu.inforom", "corrupted", gpu("inforom", NVMLError(14))),
    Defect("gpu.inforom", "not told", gpu("inforom", NVMLError(999)), UNKNOWN),
    Defect("gpu.cuda.version", "a driver that is too old", put(cuda=12040)),
    Defect("gpu.cuda.version", "the driver is not loaded", put(nvml_error=9), UNKNOWN),
    Defect("gpu.persistence", "off", gpu("persistence", 0), ("warn",)),
    Defect("gpu.persistence", "not told", gpu("persistence", NVMLError(999)), UNKNOWN),
    Defect("gpu.mig", "on", gpu("mig", [1, 1])),
    Defect("gpu.mig", "soon on", gpu("mig", [0, 1]), ("warn",)),
    Defect("gpu.mig", "not told", gpu("mig", NVMLError(999)), UNKNOWN),
    Defect("gpu.compute_mode", "prohibited", gpu("compute_mode", 2)),
    Defect("gpu.compute_mode", "exclusive", gpu("compute_mode", 3), ("warn",)),
    Defect("gpu.compute_mode", "not told", gpu("compute_mode", NVMLError(999)), UNKNOWN),
    Defect("gpu.clocks.max", "lower", gpu("clocks_max", (1755, 2619))),
    Defect("gpu.clocks.max", "lower, of the memory", gpu("clocks_max", (1980, 1593))),
    Defect("gpu.clocks.max", "not told", gpu("clocks_max", NVMLError(999)), UNKNOWN),
    Defect("gpu.clocks.application", "lowered", gpu("clocks_application", (345, 2619)), ("warn",)),
    Defect("gpu.clocks.application", "not told", gpu("clocks_application", NVMLError(999)), UNKNOWN),
    Defect("gpu.memory.size", "a stack is gone", gpu("memory", (65247 << 20, 0))),
    Defect("gpu.memory.size", "not told", gpu("memory", NVMLError(999)), UNKNOWN),
    Defect("gpu.bar1.size", "small", gpu("bar1", 256 << 20)),
    Defect("gpu.bar1.size", "not told", gpu("bar1", NVMLError(999)), UNKNOWN),
    Defect("gpu.memory.leaked", "in use by nobody", leak, ("warn",)),
    Defect("gpu.memory.leaked", "not told by whom", gpu("processes", NVMLError(999)), UNKNOWN),
    Defect("gpu.stray_processes", "a process that is gone", gpu("processes", [4194303]), ("warn",)),
    Defect("gpu.stray_processes", "not told", gpu("processes", NVMLError(999)), UNKNOWN),
    Defect("gpu.driver.version", "an older driver", put(driver=b"535.129.03")),
    Defect("gpu.driver.version", "library and driver differ", put(nvml_error=18)),
    Defect("gpu.driver.version", "the driver is not loaded", put(nvml_error=9), UNKNOWN),
]
