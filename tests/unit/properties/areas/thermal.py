# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs at healthy temperatures, and what is found of others."""

from __future__ import annotations

from random import Random

from tests.unit.properties.defects import UNKNOWN, Defect, gpu
from tests.unit.properties.machine import FUNCTION_NOT_FOUND, NOT_SUPPORTED, Machine, NVMLError


def healthy(random: Random, machine: Machine) -> None:
    gpus = machine.node_class["hardware"]["gpus"]
    watts = gpus.get("power_limit_w", 700)
    warmth = random.randint(28, 72)
    for each in machine.gpus:
        load = random.choice((0.1, 0.1, random.random()))
        refused = NVMLError(random.choice((NOT_SUPPORTED, FUNCTION_NOT_FOUND)))
        each |= {
            "temperature": warmth + random.randint(-9, 10),
            "temperature_memory": random.choice((warmth + random.randint(0, 22), refused)),
            "thermal_ns": random.choice((0, random.randrange(10**9), refused)),
            "power_mw": int(watts * load * 1000) if load > 0.1 else random.randint(55000, 140000),
            "power_limit_mw": watts * 1000,
            "power_default_mw": watts * 1000,
            "utilization": int(100 * load) + 1 if load > 0.1 else 0,
            "clock_sm": random.randint(345, 1980),
            # Of a GPU at work mostly the power that it may draw; at rest that it rests.
            "reasons": random.choice((0x1, 0x4, 0x2)),
        }


def outlier(machine: Machine, random: Random) -> None:
    for each in machine.gpus:
        each |= {"temperature": 40 + random.randint(0, 5), "power_mw": 500000 + random.randrange(40000)}
    random.choice(machine.gpus)["temperature"] = 66


def stuck(machine: Machine, random: Random) -> None:
    random.choice(machine.gpus).update({"clock_sm": 345, "utilization": 99, "reasons": 0})


def restless(machine: Machine, random: Random) -> None:
    random.choice(machine.gpus).update({"power_mw": 250000, "utilization": 0, "processes": []})


def slowed(machine: Machine, random: Random) -> None:
    """A tenth of all the time since the boot."""
    machine.history = None
    random.choice(machine.gpus)["thermal_ns"] = int(max(machine.uptime, 3600) * 1e8)


DEFECTS = [
    Defect("gpu.throttle.time", "a tenth of the time", slowed, ("warn",)),
    Defect("gpu.throttle.time", "not told", gpu("thermal_ns", NVMLError(999)), UNKNOWN),
    Defect("gpu.temperature.memory", "warm", gpu("temperature_memory", 95), ("warn",)),
    Defect("gpu.temperature.memory", "hot", gpu("temperature_memory", 105)),
    Defect("gpu.temperature.memory", "not told", gpu("temperature_memory", NVMLError(999)), UNKNOWN),
    Defect("gpu.temperature.outlier", "warmer than the others", outlier, ("warn",)),
    Defect("gpu.temperature.outlier", "not told", gpu("temperature", NVMLError(999)), UNKNOWN),
    Defect("gpu.throttle.hardware", "slowed", gpu("reasons", 0x8)),
    Defect("gpu.throttle.hardware", "not told", gpu("reasons", NVMLError(999)), UNKNOWN),
    Defect("gpu.throttle.thermal", "by the hardware", gpu("reasons", 0x48)),
    Defect("gpu.throttle.thermal", "by the driver", gpu("reasons", 0x20), ("warn",)),
    Defect("gpu.throttle.thermal", "not told", gpu("reasons", NVMLError(999)), UNKNOWN),
    Defect("gpu.throttle.power_brake", "slowed", gpu("reasons", 0x80)),
    Defect("gpu.throttle.power_brake", "not told", gpu("reasons", NVMLError(999)), UNKNOWN),
    Defect("gpu.clocks.stuck", "slow at work", stuck, ("warn",)),
    Defect("gpu.clocks.stuck", "not told", gpu("utilization", NVMLError(999)), UNKNOWN),
    Defect("gpu.power.limit", "lowered", gpu("power_limit_mw", 400000), ("warn",)),
    Defect("gpu.power.limit", "not told", gpu("power_limit_mw", NVMLError(999)), UNKNOWN),
    Defect("gpu.power.idle", "restless", restless, ("warn",)),
    Defect("gpu.power.idle", "not told", gpu("power_mw", NVMLError(999)), UNKNOWN),
    Defect("gpu.temperature", "warm", gpu("temperature", lambda random: random.randint(83, 89)), ("warn",)),
    Defect("gpu.temperature", "hot", gpu("temperature", lambda random: random.randint(90, 120))),
    Defect("gpu.temperature", "not told", gpu("temperature", NVMLError(17)), UNKNOWN),
]
