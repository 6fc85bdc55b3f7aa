# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of a lab: read from the roster, given addresses, written to machines.json."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import files
from lab.errors import LabError

FIRST_HEAD, FIRST_NODE, BMC_DISTANCE = 10, 21, 100
MOST_HEADS, MOST_NODES = FIRST_NODE - FIRST_HEAD, BMC_DISTANCE + FIRST_HEAD - FIRST_NODE

# Of every disk, as the machine itself and its commissioning say it.
DISK_MODEL = "Firstlight NVMe"


@dataclass(frozen=True)
class Hardware:
    """What a simulated machine is made of; sizes in GiB and GB as a data sheet gives them."""

    model: str
    gpus: int
    hcas: int
    cpus: int
    memory_gib: int
    disk_gb: int


# By role, not by node class: a class is what the site expects, this is what is there.
HARDWARE = {
    "node": Hardware("FL-8000 GPU server", gpus=8, hcas=8, cpus=112, memory_gib=2048, disk_gb=1920),
    "head": Hardware("FL-1000 server", gpus=0, hcas=0, cpus=32, memory_gib=128, disk_gb=960),
}


@dataclass(frozen=True)
class Network:
    """The one network of a lab: `gateway` is the host's own address on `bridge`."""

    cidr: str
    gateway: str
    bridge: str

    @property
    def prefix_length(self) -> int:
        return ipaddress.ip_network(self.cidr).prefixlen

    def address(self, number: int) -> str:
        """The address with that last octet."""
        return str(ipaddress.ip_network(self.cidr)[number])


@dataclass(frozen=True)
class Bmc:
    """How to reach a machine's management controller."""

    address: str
    port: int
    user: str
    password: str


@dataclass(frozen=True)
class Machine:
    """One machine as the lab has built it."""

    name: str
    role: str
    serial: str
    rack: str
    unit: int
    mac: str
    address: str
    gpus: int
    hcas: int
    bmc: Bmc

    @property
    def hardware(self) -> Hardware:
        return HARDWARE[self.role]


@dataclass(frozen=True)
class Site:
    """Everything that machines.json says."""

    network: Network
    machines: Mapping[str, Machine]

    def machine(self, name: str) -> Machine:
        """:raises LabError: there is no such machine; the message names those that are."""
        try:
            return self.machines[name]
        except KeyError:
            raise LabError(f"no machine {name!r} in this lab; there are: {', '.join(self.machines)}") from None


def build(roster_path: Path, network: Network) -> Site:
    """The site that `roster_path` describes, with new BMC passwords.

    :raises LabError: the roster is missing or wrong; the message names file, key and remedy.
    """
    machines: dict[str, Machine] = {}
    for role, group, first, most in (
        ("head", "head_nodes", FIRST_HEAD, MOST_HEADS),
        ("node", "gpu_nodes", FIRST_NODE, MOST_NODES),
    ):
        hosts = _hosts(roster_path, group)
        if len(hosts) > most:
            raise LabError(f"{roster_path}: {group} has {len(hosts)} machines; a lab's network has room for {most}")
        for number, (name, variables) in enumerate(hosts.items(), first):
            if name in machines:
                raise LabError(f"{roster_path}: {name} is both in head_nodes and gpu_nodes; remove one")
            machines[name] = _machine(roster_path, name, role, variables or {}, number, network)
    serials: dict[str, str] = {}
    for machine in machines.values():
        other = serials.setdefault(machine.serial, machine.name)
        if other != machine.name:
            raise LabError(
                f"{roster_path}: {other} and {machine.name} have the same serial_number {machine.serial}; correct one"
            )
    return Site(network, machines)


def load(labdir: Path) -> Site:
    """The site of the lab in `labdir`.

    :raises LabError: there is no lab.
    """
    content = files.read_json(labdir / "machines.json")
    if content is None:
        raise LabError(f"no lab in {labdir}; `python -m lab up` makes one")
    return Site(
        Network(**content["network"]),
        {name: Machine(**{**fields, "bmc": Bmc(**fields["bmc"])}) for name, fields in content["machines"].items()},
    )


def save(labdir: Path, site: Site) -> None:
    """Write machines.json; readable by its owner alone, because it holds the BMC passwords."""
    machines = {name: asdict(machine) for name, machine in site.machines.items()}
    files.write_json(labdir / "machines.json", {"network": asdict(site.network), "machines": machines}, 0o600)


def _hosts(path: Path, group: str) -> dict[str, Any]:
    try:
        roster = yaml.safe_load(path.read_text())
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}; a lab is built from this roster: restore it") from error
    except yaml.YAMLError as error:
        raise LabError(f"{path}: not YAML: {error}") from error
    found = _group(roster, group)
    if not found:
        raise LabError(f"{path}: no hosts in the group {group}; a lab needs at least one")
    return found


def _group(tree: Any, group: str) -> dict[str, Any] | None:
    """The hosts of `group`, wherever in the inventory tree it is declared with hosts."""
    if not isinstance(tree, dict):
        return None
    for name, content in tree.items():
        if not isinstance(content, dict):
            continue
        if name == group and isinstance(content.get("hosts"), dict):
            return dict(content["hosts"])
        found = _group(content.get("children"), group)
        if found:
            return found
    return None


def _machine(path: Path, name: str, role: str, variables: Any, number: int, network: Network) -> Machine:
    if not isinstance(variables, dict):
        raise LabError(f"{path}: {name}: must be a mapping of variables, not {type(variables).__name__}")
    for key, kind, example in (
        ("serial_number", str, "FL0000N01"),
        ("rack", str, "r1"),
        ("unit", int, "1"),
    ):
        if key not in variables:
            raise LabError(f"{path}: {name}: {key} is missing; add for example `{key}: {example}`")
        if not isinstance(variables[key], kind) or isinstance(variables[key], bool):
            raise LabError(f"{path}: {name}: {key} must be of type {kind.__name__}, for example {example}")
    hardware = HARDWARE[role]
    return Machine(
        name=name,
        role=role,
        serial=variables["serial_number"],
        rack=variables["rack"],
        unit=variables["unit"],
        mac=f"52:54:00:00:00:{number:02x}",
        address=network.address(number),
        gpus=hardware.gpus,
        hcas=hardware.hcas,
        bmc=Bmc(network.address(number + BMC_DISTANCE), 443, "admin", secrets.token_urlsafe(12)),
    )
