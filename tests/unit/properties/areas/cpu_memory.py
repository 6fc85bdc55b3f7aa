# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors and memory without fault, and what is found on others."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from random import Random
from typing import Any

from tests.unit.properties.defects import UNKNOWN, Defect, file, forget
from tests.unit.properties.machine import Machine

CPU = {"model": "Intel(R) Xeon(R) Platinum 8480C", "sockets": 2, "cores": 4, "threads": 2, "microcode": "0x2b000590"}
CLASS = {"hardware": {"cpu": CPU, "numa_nodes": 2, "edac": True}}


def healthy(random: Random, machine: Machine) -> None:
    total = int(machine.node_class["hardware"]["memory_gib"] * 1024**2 * random.uniform(0.972, 1.001))
    meminfo = {
        "MemTotal": total,
        "MemFree": random.randrange(total),
        "MemAvailable": random.randrange(total),
        "Cached": random.randrange(total),
        "SwapTotal": 0,
        "HardwareCorrupted": 0,
        "HugePages_Total": None,
    }
    machine.files |= _processors(random, machine.node_class["hardware"]) | _memory(random, total, machine.node_class)
    machine.files["proc/meminfo"] = "\n".join(
        f"{key + ':':<16}{0 if value is None else value:>8}{'' if value is None else ' kB'}"
        for key, value in meminfo.items()
    )


def _processors(random: Random, hardware: dict[str, Any]) -> dict[str, str]:
    cpu = {"model": "AMD EPYC 9654", "sockets": 2, "cores": 2, "threads": 1, "microcode": "0xa101148"}
    cpu |= hardware.get("cpu", {})
    version = f"{int(cpu['microcode'], 16) + random.choice((0, 0, 16)):#x}"
    policies = random.choice((0, 1, 4))
    return {
        "proc/cpuinfo": cpuinfo(cpu["model"].replace("*", "X"), cpu["sockets"], cpu["cores"], cpu["threads"], version),
        **{f"sys/devices/system/cpu/cpufreq/policy{at}/scaling_governor": "performance" for at in range(policies)},
        "sys/devices/system/cpu/online": "0-3",
    }


@functools.cache
def cpuinfo(model: str, sockets: int, cores: int, threads: int, microcode: str) -> str:
    """As the kernel numbers them: the second threads of all cores behind the first ones."""
    places = [(thread, socket, core) for thread in range(threads) for socket in range(sockets) for core in range(cores)]
    return "\n".join(
        f"processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel\t\t: 143\nmodel name\t: {model}\n"
        f"microcode\t: {microcode}\nphysical id\t: {socket}\ncore id\t\t: {core}\ncpu cores\t: {cores}\n"
        for number, (_thread, socket, core) in enumerate(places)
    )


def _memory(random: Random, total: int, node_class: dict[str, Any]) -> dict[str, str]:
    nodes = node_class["hardware"].get("numa_nodes", 2)
    files = {
        f"sys/devices/system/node/node{node}/meminfo": (
            f"Node {node} MemTotal:  {int(total / nodes * random.uniform(0.99, 1.0))} kB\nNode {node} MemFree:  7 kB"
        )
        for node in range(nodes)
    }
    files["sys/devices/system/node/online"] = f"0-{nodes - 1}"
    # Without the driver where the class does not count on it.
    if node_class["hardware"].get("edac") or random.random() < 0.5:
        for controller in range(4):
            place = f"sys/devices/system/edac/mc/mc{controller}"
            files |= {f"{place}/ce_count": str(random.choice((0, 0, 0, 3))), f"{place}/ue_count": "0"}
    balancing = random.choice((None, "0"))
    return files if balancing is None else {**files, "proc/sys/kernel/numa_balancing": balancing}


def memory(share: float) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        total = int(machine.node_class["hardware"]["memory_gib"] * 1024**2 * share)
        machine.files["proc/meminfo"] = f"MemFree: 1 kB\nMemTotal:       {total} kB"

    return spoil


def processors(**changes: Any) -> Callable[[Machine, Random], None]:
    """The processors of the class, but for these."""

    def spoil(machine: Machine, _random: Random) -> None:
        cpu = {**machine.node_class["hardware"]["cpu"], **changes}
        values = [cpu[key] for key in ("model", "sockets", "cores", "threads", "microcode")]
        machine.files["proc/cpuinfo"] = cpuinfo(*values)

    return spoil


def _two_microcodes(machine: Machine, _random: Random) -> None:
    text = machine.files["proc/cpuinfo"]
    machine.files["proc/cpuinfo"] = re.sub(r"microcode\t: \w+", "microcode\t: 0x1", text, count=1)


SYSTEM = "sys/devices/system"
DEFECTS = [
    Defect("cpu.model", "another one", processors(model="Intel(R) Xeon(R) Gold 6430")),
    Defect("cpu.model", "not told", forget("proc/cpuinfo"), UNKNOWN),
    Defect("cpu.count", "one socket", processors(sockets=1)),
    Defect("cpu.count", "fewer cores", processors(cores=3)),
    Defect("cpu.count", "of another kind", file("proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 2000.00"), UNKNOWN),
    Defect("cpu.smt", "off", processors(threads=1), ("warn",)),
    Defect("cpu.smt", "not told", forget("proc/cpuinfo"), UNKNOWN),
    Defect("cpu.microcode", "two of them", _two_microcodes, ("warn",)),
    Defect("cpu.microcode", "too old", processors(microcode="0x2b000001"), ("warn",)),
    Defect("cpu.governor", "powersave", file(f"{SYSTEM}/cpu/cpufreq/policy9/scaling_governor", "powersave"), ("warn",)),
    Defect("cpu.mce", "an exception", file("proc/sys/kernel/tainted", str(1 << 4 | 1 << 12))),
    Defect("cpu.mce", "not told", forget("proc/sys/kernel/tainted"), UNKNOWN),
    Defect("memory.numa", "one without", forget(f"{SYSTEM}/node/node1")),
    Defect("memory.numa", "one with less", file(f"{SYSTEM}/node/node0/meminfo", "Node 0 MemTotal: 1024 kB")),
    Defect("memory.numa", "not told", forget(f"{SYSTEM}/node"), UNKNOWN),
    Defect("memory.numa_balancing", "on", file("proc/sys/kernel/numa_balancing", "1"), ("warn",)),
    Defect("memory.numa_balancing", "junk", file("proc/sys/kernel/numa_balancing", "on"), UNKNOWN),
    Defect("memory.edac", "no driver", forget(f"{SYSTEM}/edac")),
    Defect("memory.ecc.uncorrected", "one", file(f"{SYSTEM}/edac/mc/mc2/ue_count", "1")),
    Defect("memory.ecc.uncorrected", "no driver", forget(f"{SYSTEM}/edac"), UNKNOWN),
    Defect("memory.ecc.corrected", "many", file(f"{SYSTEM}/edac/mc/mc2/ce_count", "99999999"), ("warn",)),
    Defect("memory.ecc.corrected", "junk", file(f"{SYSTEM}/edac/mc/mc2/ce_count", "-1"), UNKNOWN),
    Defect("memory.page_offline", "a page", file("proc/meminfo", "HardwareCorrupted:     4 kB"), ("warn",)),
    Defect("memory.page_offline", "not told", forget("proc/meminfo"), UNKNOWN),
    Defect("host.memory", "a DIMM less", memory(31 / 32 * 0.985)),
    Defect("host.memory", "twice as much", memory(2.0), ("warn",)),
    Defect("host.memory", "not told", forget("proc/meminfo"), UNKNOWN),
]
