# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transceivers of HCAs without fault, and what is found of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.unit.properties.defects import UNKNOWN, Defect
from tests.unit.properties.machine import MISSING, Machine

CLASS = {"hardware": {"hcas": {"optics": True}}}

_MODULE, _COUNTERS = "Module Info", "Physical Counters and BER Info"


def healthy(random: Random, machine: Machine) -> None:
    hcas = machine.node_class["hardware"].get("hcas") or {}
    for name in hcas.get("devices") or ():
        machine.tools[f"mlxlink {name}"] = json.dumps(printed(random))


def printed(random: Random) -> dict[str, Any]:
    """As mlxlink of MFT 4.3x prints it."""

    def lanes(low: float, high: float) -> str:
        return ",".join(f"{random.uniform(low, high):.3f}" for _lane in range(4))

    counters = {
        "Time Since Last Clear [Min]": "871.4",
        "Effective Physical Errors": "0",
        "Effective Physical BER": "15E-255",
        "Raw Physical Errors Per Lane": {"values": ["0", "12", "3", "1"]},
        "Raw Physical BER": random.choice(("3E-9", "8E-10", "15E-255")),
    }
    optical = {
        "Temperature [C]": f"{random.randrange(35, 65)} [-5..75]",
        "Bias Current [mA]": f"{lanes(6, 9)} [2..15]",
        "Rx Power Current [dBm]": f"{lanes(-2, 3)} [-10.41..6]",
        "Tx Power Current [dBm]": f"{lanes(-1, 2)} [-8.508..5]",
        "Cable Type": "Optical Module (separated)",
    }
    # What a copper cable does not measure is told in two ways.
    none = random.choice(("N/A", "0,0,0,0 [0..0]"))
    copper = {**dict.fromkeys(optical, none), "Cable Type": "Passive copper cable"}
    return {"result": {"output": {_MODULE: random.choice((optical, optical, copper)), _COUNTERS: counters}}}


def told(section: str, key: str, value: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
        answer = json.loads(machine.tools[f"mlxlink {name}"])
        answer["result"]["output"][section] |= {"Cable Type": "Active optical cable", key: value}
        machine.tools[f"mlxlink {name}"] = json.dumps(answer)

    return spoil


def silent(machine: Machine, random: Random) -> None:
    name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
    machine.tools[f"mlxlink {name}"] = random.choice((MISSING, "", "-E- Failed to open device", '{"result": {}}'))


DEFECTS = [
    Defect("optics.temperature", "hot", told(_MODULE, "Temperature [C]", "76 [-5..75]")),
    Defect("optics.temperature", "warm", told(_MODULE, "Temperature [C]", "71 [-5..75]"), ("warn",)),
    Defect("optics.temperature", "silent", silent, UNKNOWN),
    Defect("optics.rx_power", "dark", told(_MODULE, "Rx Power Current [dBm]", "-40,1,1,1 [-10.41..6]")),
    Defect("optics.rx_power", "not told", told(_MODULE, "Rx Power Current [dBm]", "N/A"), UNKNOWN),
    Defect("optics.tx_power", "dark", told(_MODULE, "Tx Power Current [dBm]", "1,1,1,-40 [-8.508..5]")),
    Defect("optics.tx_power", "silent", silent, UNKNOWN),
    Defect("optics.bias", "high", told(_MODULE, "Bias Current [mA]", "8,8,17,8 [2..15]"), ("warn",)),
    Defect("optics.bias", "not told", told(_MODULE, "Bias Current [mA]", "?"), UNKNOWN),
    Defect("optics.raw_ber", "many", told(_COUNTERS, "Raw Physical BER", "4E-6"), ("warn",)),
    Defect("optics.raw_ber", "not told", told(_COUNTERS, "Raw Physical BER", "N/A"), UNKNOWN),
    Defect("optics.effective_ber", "many", told(_COUNTERS, "Effective Physical BER", "2E-12")),
    Defect("optics.effective_ber", "some", told(_COUNTERS, "Effective Physical BER", "2E-14"), ("warn",)),
    Defect("optics.effective_ber", "silent", silent, UNKNOWN),
]
