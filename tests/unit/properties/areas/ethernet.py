# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ethernet interfaces without fault, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.unit.properties.areas.hca import remember
from tests.unit.properties.defects import UNKNOWN, Defect, forget
from tests.unit.properties.machine import Machine

NET = "sys/class/net"


def healthy(random: Random, machine: Machine) -> None:
    for wanted in machine.node_class["hardware"].get("ethernet") or ():
        interface(random, machine, wanted["name"], int(wanted["gbps"] * 1000), wanted["mtu"])
    # Of those that the class does not name nobody knows how they should be.
    others = random.sample(["docker0", "ib0", "usb0", "enp5s0", "eno2"], 3)
    for name in ("lo", "veth3f2a1b0", *others):
        interface(random, machine, name, random.choice((-1, 100, 1000)), random.choice((1500, 65536)))
        machine.files[f"{NET}/{name}/operstate"] = random.choice(("up", "down", "unknown"))
    machine.files[f"{NET}/bonding_masters"] = "bond0"


def interface(random: Random, machine: Machine, name: str, speed: int, mtu: int) -> None:
    packets = random.randrange(10**6, 10**13)
    machine.files |= {
        f"{NET}/{name}/{file}": str(content)
        for file, content in {
            "operstate": random.choice(("up", "unknown")),
            "carrier": 1,
            "carrier_changes": random.randrange(1, 5),
            "statistics/rx_missed_errors": random.randrange(900),
            "speed": speed,
            "mtu": mtu,
            "statistics/rx_packets": packets,
            "statistics/tx_packets": packets // 2,
            "statistics/rx_errors": random.randrange(5),
            "statistics/tx_errors": random.randrange(5),
        }.items()
    }


def of(file: str, content: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        name = random.choice(machine.node_class["hardware"]["ethernet"])["name"]
        machine.files[f"{NET}/{name}/{file}"] = content

    return spoil


def grown(file: str, counter: str, by: int) -> Callable[[Machine, Random], None]:
    """In the last hour, as the node remembers."""

    def spoil(machine: Machine, random: Random) -> None:
        name = random.choice(machine.node_class["hardware"]["ethernet"])["name"]
        machine.files[f"{NET}/{name}/{file}"] = str(5 + by)
        remember(machine, random.uniform(60, 3600), {f"net:{name}/{counter}": 5})

    return spoil


DEFECTS = [
    Defect("net.flaps", "often", grown("carrier_changes", "carrier_changes", 12)),
    Defect("net.flaps", "none counted", of("carrier_changes", ""), UNKNOWN),
    Defect("net.missed", "many", grown("statistics/rx_missed_errors", "rx_missed_errors", 1000), ("warn",)),
    Defect("net.missed", "none counted", of("statistics/rx_missed_errors", "?"), UNKNOWN),
    Defect("net.link", "no link", of("operstate", "down")),
    Defect("net.link", "another name", forget(f"{NET}/eth0")),
    Defect("net.link", "no state", of("operstate", ""), UNKNOWN),
    Defect("net.speed", "a tenth", of("speed", "1000")),
    Defect("net.speed", "not told", of("speed", "-1"), UNKNOWN),
    Defect("net.mtu", "too small", of("mtu", "1400")),
    Defect("net.mtu", "no number", of("mtu", "jumbo"), UNKNOWN),
    Defect("net.errors", "many", of("statistics/rx_errors", str(10**9)), ("warn",)),
    Defect("net.errors", "none counted", of("statistics/tx_errors", "none"), UNKNOWN),
]
