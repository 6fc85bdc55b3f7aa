# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine of MAAS is which host of the roster: by system_id, serial, MAC address, host name.

MAAS never adds to the roster, and a doubt is a refusal: a wrong match would erase somebody else's machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..storage.description import DiskDescription
from .machines import Machine


@dataclass(frozen=True)
class Wanted:
    """One host of the roster, as far as MAAS can know it. Empty text means not given.

    Without `os_disk` the system goes where MAAS puts it. `bmc_address` is that of a BMC that told `serial` just now.
    """

    name: str
    system_id: str = ""
    serial: str = ""
    mac_addresses: tuple[str, ...] = ()
    os_disk: DiskDescription | None = None
    bmc_address: str = ""


@dataclass(frozen=True)
class Problem:
    """Why something is not done for a host, and what to do about it."""

    reason: str
    remedy: str
    missing: bool = False  # MAAS has nothing that could be the host's machine

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}"


@dataclass(frozen=True)
class Matching:
    """The outcome: for each host its machine or a problem, and the machines that no host claims."""

    found: dict[str, Machine]
    problems: dict[str, Problem]
    unknown: tuple[Machine, ...]


def match(roster: Sequence[Wanted], machines: Iterable[Machine]) -> Matching:
    """Match every host of the roster; each name occurs once in exactly one of `found` and `problems`."""
    everything = list(machines)
    by_id = {machine.system_id: machine for machine in everything}
    by_serial = _index((machine.serial, machine) for machine in everything)
    by_mac = {mac: machine for machine in everything for mac in machine.mac_addresses}
    by_name = _index(
        (name, machine) for machine in everything for name in sorted({machine.hostname.lower(), machine.fqdn.lower()})
    )
    found: dict[str, Machine] = {}
    problems: dict[str, Problem] = {}
    claims: dict[str, list[str]] = {}
    for host in roster:
        match_of_host = _match_one(host, by_id, by_serial, by_mac, by_name)
        if isinstance(match_of_host, Problem):
            problems[host.name] = match_of_host
        else:
            found[host.name] = match_of_host
            claims.setdefault(match_of_host.system_id, []).append(host.name)
    for system_id, names in claims.items():
        if len(names) > 1:
            for name in names:
                del found[name]
                problems[name] = Problem(
                    f"{', '.join(sorted(names))} all match the same machine of MAAS ({system_id}).",
                    "Correct system_id and serial of these hosts in the roster: each machine has one host.",
                )
    for host in roster:
        machine = found.get(host.name)
        problem = _second_record(host, machine, everything, by_name, claims) if machine else None
        if problem:
            del found[host.name]
            problems[host.name] = problem
    unknown = tuple(machine for machine in everything if machine.system_id not in claims)
    return Matching(found, problems, unknown)


def _match_one(
    host: Wanted,
    by_id: dict[str, Machine],
    by_serial: dict[str, list[Machine]],
    by_mac: dict[str, Machine],
    by_name: dict[str, list[Machine]],
) -> Machine | Problem:
    candidates: list[Machine] = []
    if host.system_id and host.system_id in by_id:
        candidates = [by_id[host.system_id]]
    if not candidates and host.serial:
        candidates = by_serial.get(host.serial, [])
        if len(candidates) > 1:
            ids = ", ".join(sorted(f"{machine.system_id} ({machine.hostname})" for machine in candidates))
            return Problem(
                f"The serial {host.serial} of {host.name} belongs to {len(candidates)} machines of MAAS: {ids}.",
                "Delete the stale one from MAAS, or give the right one's system_id in the roster.",
            )
    if not candidates and host.mac_addresses:
        # A machine that booted from the network before it was enrolled is there under a name that MAAS made up.
        owners = {
            by_mac[mac.lower()].system_id: by_mac[mac.lower()] for mac in host.mac_addresses if mac.lower() in by_mac
        }
        candidates = list(owners.values())
        if len(candidates) > 1:
            return Problem(
                f"The MAC addresses of {host.name} belong to several machines of MAAS: {', '.join(sorted(owners))}.",
                "Correct mac_addresses in the roster, or delete the stale machine from MAAS.",
            )
    if not candidates:
        candidates = by_name.get(host.name.lower(), [])
        if len(candidates) > 1:
            ids = ", ".join(sorted(machine.system_id for machine in candidates))
            return Problem(
                f"{len(candidates)} machines of MAAS are named {host.name}: {ids}.",
                "Give the right one's system_id in the roster.",
            )
    if not candidates:
        known_by = " or ".join(
            filter(None, (host.system_id and f"system_id {host.system_id}", host.serial and f"serial {host.serial}"))
        )
        return Problem(
            f"No machine of MAAS is named {host.name}{f' or has {known_by}' if known_by else ''}.",
            "Enlist it in MAAS, or give bmc_address, bmc_user and bmc_password, by which provision enrols it;"
            " correct name and serial in the roster, or set its state to planned.",
            missing=True,
        )
    return serial_problem(host, candidates[0]) or candidates[0]


def _second_record(
    host: Wanted,
    machine: Machine,
    everything: Iterable[Machine],
    by_name: Mapping[str, list[Machine]],
    claims: Mapping[str, list[str]],
) -> Problem | None:
    """The refusal of a machine of which MAAS may have two records: work on one would leave the other as it is.

    A machine with a new main board that started from the network by itself enlists once more; its serial and MAC
    addresses then lead to that record, its name and BMC to the old one. A system_id in the roster decides it.
    """
    if host.system_id == machine.system_id:
        return None
    # Names that went crosswise are no doubt where the other host is there, too, and claims what has this one's name.
    others = [other for other in by_name.get(host.name.lower(), []) if other.system_id not in claims]
    others += [other for other in everything if same_bmc(host, other) and _same_node(machine, other)]
    records = {other.system_id: other for other in (machine, *others)}
    if len(records) == 1:
        return None
    listed = " and ".join(
        f"{each.hostname} ({each.system_id}, serial {each.serial or 'unknown'}, {each.status_name})"
        for each in records.values()
    )
    return Problem(
        f"MAAS has two records of {host.name}: {listed}.",
        "Delete the one that enlisted itself, mostly the New one, and run again; where they are two machines, correct"
        " the serial in the roster and the name in MAAS, or give the right one's system_id in the roster.",
    )


def _same_node(machine: Machine, other: Machine) -> bool:
    """False of two machines that one BMC switches under different names."""
    return not (machine.bmc_node and other.bmc_node) or machine.bmc_node == other.bmc_node


def serial_problem(host: Wanted, machine: Machine) -> Problem | None:
    """The refusal of a machine whose serial is known and is not the roster's; None where they agree or cannot tell.

    MAAS reads a serial when it commissions. A machine that it switches by the BMC that told the roster's serial has
    another main board since.
    """
    if not host.serial or not machine.serial or host.serial == machine.serial or same_bmc(host, machine):
        return None
    return Problem(
        f"MAAS's machine {machine.hostname} ({machine.system_id}) has serial {machine.serial},"
        f" the roster says {host.serial} for {host.name}.",
        "Find out which machine stands there; correct the serial in the roster or the name in MAAS.",
    )


def same_bmc(host: Wanted, machine: Machine) -> bool:
    """True where MAAS switches the machine by the BMC that told the host's serial."""
    return bool(host.bmc_address) and _bare(host.bmc_address) == _bare(machine.bmc_address)


def own_addresses(told: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """By host the MAC addresses, of those that were told, by which MAAS can know its machine, in small letters.

    A NIC between BMC and host has an address made up by the firmware, often the same one on many machines, and MAAS
    gives an address to one machine only. So what several hosts have is left out, and what is administered locally where
    a host has others. A virtual machine has no others.
    """
    lowered = {name: list(dict.fromkeys(map(str.lower, macs))) for name, macs in told.items()}
    times = Counter(mac for macs in lowered.values() for mac in macs)
    kept = {}
    for name, macs in lowered.items():
        alone = [mac for mac in macs if times[mac] == 1] or macs
        kept[name] = tuple([mac for mac in alone if not _local(mac)] or alone)
    return kept


def _local(mac: str) -> bool:
    """True of an address without a maker's number: the second lowest bit of its first octet says so."""
    return mac[1:2] in ("2", "3", "6", "7", "a", "b", "e", "f")


def _bare(address: str) -> str:
    return address.lower().partition("://")[2].rstrip("/") or address.lower().rstrip("/")


def _index(pairs: Iterable[tuple[str, Machine]]) -> dict[str, list[Machine]]:
    index: dict[str, list[Machine]] = {}
    for key, machine in pairs:
        if key:
            index.setdefault(key, []).append(machine)
    return index
