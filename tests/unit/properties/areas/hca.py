# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HCAs without fault, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.unit.properties.defects import UNKNOWN, Defect, forget
from tests.unit.properties.machine import Machine


def healthy(random: Random, machine: Machine) -> None:
    hardware = machine.node_class["hardware"].get("hcas") or {}
    ours = list(hardware.get("devices") or ())
    others = [f"mlx5_{number}" for number in range(20, 20 + random.randrange(3))] + ["mlx5_bond_0"]
    names = ours + others
    random.shuffle(names)
    said: dict[str, int] = {}
    for name in names:
        rate = hardware["rate_gbps"] if name in ours else random.choice((25, 100, 200))
        width = random.choice(("4X NDR", "4X HDR", "4X"))
        machine.files[f"sys/class/infiniband/{name}/node_guid"] = guid(random)
        machine.files[f"sys/class/infiniband/{name}/board_id"] = "MT_0000000838"
        other = f"28.{random.randrange(30, 45)}.1002"
        machine.files[f"sys/class/infiniband/{name}/fw_ver"] = (name in ours and hardware.get("firmware")) or other
        slot = machine.hca_addresses().get(name, f"0000:e{random.randrange(10)}:00.{random.randrange(2)}")
        uevent = ("DRIVER=mlx5_core", "PCI_CLASS=20700", f"PCI_SLOT_NAME={slot}", "MODALIAS=pci:v000015B3d00001021")
        machine.files[f"sys/class/infiniband/{name}/device/uevent"] = "\n".join(uevent)
        machine.hca(name, "state", "4: ACTIVE")
        machine.hca(name, "phys_state", "5: LinkUp")
        machine.hca(name, "rate", f"{rate} Gb/sec ({width})")
        machine.hca(name, "link_layer", "InfiniBand" if name in ours else "Ethernet")
        machine.hca(name, "lid", f"0x{random.randrange(1, 0xBFFF):x}")
        machine.hca(name, "sm_lid", f"0x{random.randrange(1, 0xBFFF):x}" if name in ours else "0x0")
        pkeys = [*(hardware.get("pkeys") or ["0xffff"]), *random.sample(["0x0000", "0x8001", "0x7002"], 2)]
        for place in range(random.choice((8, 128))):
            machine.hca(name, f"pkeys/{place}", pkeys[place] if place < len(pkeys) else "0x0000")
        # A link that went down no more than once a day, as switches are restarted.
        counters = {"link_downed": random.randrange(min(250, int(machine.uptime / 86400)) + 1)}
        counters["symbol_error"] = random.randrange(100)
        counters["link_error_recovery"] = random.randrange(3)
        counters["port_xmit_discards"] = random.randrange(900)
        counters["port_rcv_errors"] = random.randrange(100)
        counters["port_rcv_remote_physical_errors"] = random.randrange(100)
        counters["VL15_dropped"] = random.randrange(90)
        of_silence = ("local_link_integrity_errors", "excessive_buffer_overrun_errors", "port_rcv_constraint_errors")
        counters |= dict.fromkeys(of_silence, 0)
        for counter in ("local_ack_timeout_err", "packet_seq_err"):
            machine.hca(name, f"hw_counters/{counter}", str(random.randrange(900)))
        for counter, count in counters.items():
            machine.hca(name, f"counters/{counter}", str(count))
            said[f"hca:{name}/{counter}"] = count
    if random.random() < 0.5:
        remember(machine, random.uniform(0, 1e6), said)


def remember(machine: Machine, seconds_ago: float, counters: dict[str, int]) -> None:
    """The node's memory of what its counters said so long ago, if it was up."""
    machine.history = {
        "schema": 1,
        "boot_id": machine.boot_id,
        "uptime": max(0.0, machine.uptime - seconds_ago - 0.01),
        "counters": {name: [value, 0.0] for name, value in counters.items()},
        "changes": [],
    }


def grown(counter: str, by: int, before: int = 100) -> Callable[[Machine, Random], None]:
    """In the last hour, as the node remembers."""

    def spoil(machine: Machine, random: Random) -> None:
        name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
        machine.hca(name, f"counters/{counter}", str(before + by))
        remember(machine, random.uniform(60, 3600), {f"hca:{name}/{counter}": before})

    return spoil


def guid(random: Random) -> str:
    return f"9c05:9103:{random.randrange(1 << 16):04x}:{random.randrange(1 << 16):04x}"


def same_guid(machine: Machine, random: Random) -> None:
    one, other = random.sample(machine.node_class["hardware"]["hcas"]["devices"], 2)
    folder = "sys/class/infiniband"
    machine.files[f"{folder}/{one}/node_guid"] = machine.files[f"{folder}/{other}/node_guid"]


def swapped(machine: Machine, random: Random) -> None:
    """The kernel numbered two HCAs the other way round."""
    one, other = (
        f"sys/class/infiniband/{name}/device/uevent" for name in random.sample(list(machine.hca_addresses()), 2)
    )
    machine.files[one], machine.files[other] = machine.files[other], machine.files[one]


def of_hca(file: str, content: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
        machine.files[f"sys/class/infiniband/{name}/{file}"] = content

    return spoil


def hca(file: str, content: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.hca(random.choice(machine.node_class["hardware"]["hcas"]["devices"]), file, content)

    return spoil


def lose_hca(machine: Machine, random: Random) -> None:
    name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
    for path in [path for path in machine.files if f"/infiniband/{name}/" in path]:
        del machine.files[path]


# It has grown by more than can be known; what is known may be enough.
STOPPED = ("fail", "unknown")


def transport(counter: str) -> Callable[[Machine, Random], None]:
    """Since the boot, of which the node remembers nothing."""

    def spoil(machine: Machine, random: Random) -> None:
        machine.history = None
        name = random.choice(machine.node_class["hardware"]["hcas"]["devices"])
        machine.hca(name, f"hw_counters/{counter}", str(int(1001 * max(1.0, machine.uptime / 3600)) + 1))

    return spoil


DEFECTS = [
    Defect("hca.link_integrity", "many", grown("local_link_integrity_errors", 5, 2)),
    Defect("hca.link_integrity", "some", grown("local_link_integrity_errors", 1, 2), ("warn",)),
    Defect("hca.link_integrity", "not told", hca("counters/local_link_integrity_errors", ""), UNKNOWN),
    Defect("hca.buffer_overruns", "many", grown("excessive_buffer_overrun_errors", 5, 2)),
    Defect("hca.buffer_overruns", "not told", hca("counters/excessive_buffer_overrun_errors", "?"), UNKNOWN),
    Defect("hca.transmit_discards", "many", grown("port_xmit_discards", 1000), ("warn",)),
    Defect("hca.transmit_discards", "not told", hca("counters/port_xmit_discards", ""), UNKNOWN),
    Defect("hca.remote_errors", "many", grown("port_rcv_remote_physical_errors", 120), ("warn",)),
    Defect("hca.remote_errors", "not told", hca("counters/port_rcv_remote_physical_errors", ""), UNKNOWN),
    Defect("hca.management_dropped", "many", grown("VL15_dropped", 100), ("warn",)),
    Defect("hca.management_dropped", "not told", hca("counters/VL15_dropped", ""), UNKNOWN),
    Defect("hca.constraint_errors", "many", grown("port_rcv_constraint_errors", 20), ("warn",)),
    Defect("hca.constraint_errors", "not told", hca("counters/port_rcv_constraint_errors", ""), UNKNOWN),
    Defect("hca.ack_timeouts", "many", transport("local_ack_timeout_err"), ("warn",)),
    Defect("hca.ack_timeouts", "not told", hca("hw_counters/local_ack_timeout_err", ""), UNKNOWN),
    Defect("hca.sequence_errors", "many", transport("packet_seq_err"), ("warn",)),
    Defect("hca.sequence_errors", "not told", hca("hw_counters/packet_seq_err", ""), UNKNOWN),
    Defect("hca.count", "an HCA is gone", lose_hca),
    Defect("hca.count", "no driver", forget("sys/class/infiniband/"), UNKNOWN),
    Defect("hca.state", "down", hca("state", "1: DOWN")),
    Defect("hca.state", "initialising", hca("state", "2: INIT")),
    Defect("hca.state", "half a file", hca("state", "4"), UNKNOWN),
    Defect("hca.physical_state", "recovering", hca("phys_state", "6: LinkErrorRecovery")),
    Defect("hca.physical_state", "nothing told", hca("phys_state", ""), UNKNOWN),
    Defect("hca.link_layer", "Ethernet", hca("link_layer", "Ethernet")),
    Defect("hca.link_layer", "nothing told", hca("link_layer", ""), UNKNOWN),
    Defect("hca.name", "numbered otherwise", swapped),
    Defect("hca.name", "no slot", of_hca("device/uevent", "DRIVER=mlx5_core"), UNKNOWN),
    Defect("hca.guid", "twice", same_guid),
    Defect("hca.guid", "none", of_hca("node_guid", "0000:0000:0000:0000")),
    Defect("hca.guid", "nothing told", of_hca("node_guid", ""), UNKNOWN),
    Defect("hca.subnet_manager", "none", hca("sm_lid", "0x0")),
    Defect("hca.subnet_manager", "no number", hca("sm_lid", "none"), UNKNOWN),
    Defect("hca.pkey", "a limited member", hca("pkeys/0", "0x7fff")),
    Defect("hca.pkey", "no number", hca("pkeys/0", "full"), UNKNOWN),
    Defect("hca.rate", "half the rate", hca("rate", "200 Gb/sec (4X HDR)")),
    Defect("hca.rate", "one lane", hca("rate", "100 Gb/sec (1X NDR)")),
    Defect("hca.rate", "no rate", hca("rate", "fast"), UNKNOWN),
    Defect("hca.link_downed", "twice", grown("link_downed", 2), ("warn",)),
    Defect("hca.link_downed", "often", grown("link_downed", 47)),
    Defect("hca.link_downed", "more than it can count", hca("counters/link_downed", "255"), STOPPED),
    Defect("hca.link_downed", "no count", hca("counters/link_downed", "none"), UNKNOWN),
    Defect("hca.link_downed", "less than nothing", hca("counters/link_downed", "-1"), UNKNOWN),
    Defect("hca.link_error_recovery", "now and then", grown("link_error_recovery", 20), ("warn",)),
    Defect("hca.link_error_recovery", "more than it can count", hca("counters/link_error_recovery", "255"), STOPPED),
    Defect("hca.symbol_errors", "many", grown("symbol_error", 2000), ("warn",)),
    Defect("hca.symbol_errors", "far too many", grown("symbol_error", 50000)),
    Defect("hca.symbol_errors", "no count", hca("counters/symbol_error", "none"), UNKNOWN),
    Defect("hca.receive_errors", "many", grown("port_rcv_errors", 2000), ("warn",)),
    Defect("hca.receive_errors", "far too many", grown("port_rcv_errors", 50000)),
    Defect("hca.receive_errors", "no count", hca("counters/port_rcv_errors", "none"), UNKNOWN),
    Defect("hca.firmware", "of another release", of_hca("fw_ver", "28.47.1088"), ("warn",)),
    Defect("hca.firmware", "too old", of_hca("fw_ver", "28.9.1002")),
    Defect("hca.firmware", "none told", of_hca("fw_ver", ""), UNKNOWN),
]
