# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab's InfiniBand fabric is wired, and the net file that ibsim reads.

Both builders are rail-optimised: HCA *i* of every node hangs on the leaf that serves rail *i*.
`small` is the lab's own fabric (leaves and spines), `three_tier` the full-size one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.errors import LabError

SWITCH_PORTS = 64
FIRST_UPLINK = 33  # cages 1..16 of a leaf or a spine go down, 17..32 up
RAILS = 8
# The fabric manager's host: its first HCA is the subnet manager's, its second the lab's own eyes. ibsim
# tells two clients on one HCA apart by transaction id only, and a mixed-up answer crashes the client.
SM_HOST = "ufm01"
SM_HCA = f"{SM_HOST} mlx5_0"
EYES = f"{SM_HOST} mlx5_1"

_HCA_GUIDS = 0x946DAE0300000000
_SWITCH_GUIDS = 0xB8CEF60300000000
# ibsim 0.10 knows link speeds up to HDR only; see `lab.fabric.links` for what that stands for.
_HEADER = "width=3\nspeed=7\nextspeed=7\n"
_LINK = "lid 0 4xHDR"

End = tuple[str, int]
"""One end of a cable: (name of the switch or HCA in the net file, port number)."""


class TopologyError(LabError):
    """The machines cannot be wired this way; says why and what to change."""


@dataclass(frozen=True)
class Hca:
    """One host channel adapter with one port; `rail` is its position in the node."""

    node: str
    rail: int
    guid: int

    @property
    def device(self) -> str:
        return f"mlx5_{self.rail}"

    @property
    def name(self) -> str:
        """Its name in the net file, and its node description in the fabric."""
        return f"{self.node} {self.device}"

    @property
    def port_guid(self) -> int:
        return self.guid + 1


@dataclass(frozen=True)
class Switch:
    name: str
    guid: int

    @property
    def description(self) -> str:
        """The node description that a managed switch of this kind gives itself."""
        return f"MF0;{self.name}:MQM9700/U1"


@dataclass
class Topology:
    """Switches and HCAs by name, and every cable under both of its ends."""

    switches: dict[str, Switch] = field(default_factory=dict)
    hcas: dict[str, Hca] = field(default_factory=dict)
    peer: dict[End, End] = field(default_factory=dict)

    def cable(self, a: End, b: End) -> None:
        for end in (a, b):
            if end in self.peer:
                raise TopologyError(f"port {end[1]} of {end[0]} would carry two cables: the fabric is too small")
        self.peer[a] = b
        self.peer[b] = a

    def cables(self) -> Iterator[tuple[End, End]]:
        """Every cable once, the lower tier's end first."""
        seen: set[End] = set()
        for a, b in self.peer.items():
            if b not in seen:
                seen.add(a)
                yield a, b

    def hcas_of(self, node: str) -> list[Hca]:
        return [hca for hca in self.hcas.values() if hca.node == node]


def _add_switch(topology: Topology, name: str) -> str:
    topology.switches[name] = Switch(name, _SWITCH_GUIDS + ((len(topology.switches) + 1) << 8))
    return name


def _add_hosts(topology: Topology, hosts: Mapping[str, tuple[str, int]]) -> None:
    """`hosts`: name -> (serial, number of HCAs). A host's GUIDs follow from its serial, so they outlive its name."""
    taken: set[int] = set()
    for name, (serial, count) in hosts.items():
        slot = int.from_bytes(hashlib.sha256(serial.encode()).digest()[:2], "big")
        while slot in taken:
            slot = (slot + 1) % 0x10000
        taken.add(slot)
        for rail in range(count):
            hca = Hca(name, rail, _HCA_GUIDS + (slot << 8) + (rail << 4))
            topology.hcas[hca.name] = hca


def _hosts(machines: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, int]]:
    hosts = {
        name: (str(machine["serial"]), int(machine["hcas"])) for name, machine in machines.items() if machine["hcas"]
    }
    too_many = [name for name, (_, count) in hosts.items() if count > RAILS]
    if too_many:
        raise TopologyError(f"{too_many[0]} has more than {RAILS} HCAs: the lab's fabric has {RAILS} rails")
    return hosts


def small(machines: Mapping[str, Mapping[str, Any]], *, leaves: int = 2, spines: int = 2) -> Topology:
    """The lab's fabric: each leaf serves RAILS/leaves rails, half of its uplinks go to each spine.

    `machines` is the part of that name in machines.json. Host *n* (0-based, in roster order) takes
    ports n*rails_per_leaf+1 and following of each leaf; the fabric manager's host takes leaf-01's
    last two ports below the uplinks.
    """
    hosts = _hosts(machines)
    per_leaf = RAILS // leaves
    room = (FIRST_UPLINK - 3) // per_leaf
    if len(hosts) > room:
        raise TopologyError(f"{len(hosts)} machines with HCAs, the lab's fabric has room for {room}: shorten hosts.yml")
    topology = Topology()
    leaf_names = [_add_switch(topology, f"leaf-{leaf:02}") for leaf in range(1, leaves + 1)]
    spine_names = [_add_switch(topology, f"spine-{spine:02}") for spine in range(1, spines + 1)]
    _add_hosts(topology, {**hosts, SM_HOST: (SM_HOST, 2)})
    place = {name: number for number, name in enumerate(hosts)}
    for hca in topology.hcas.values():
        if hca.node == SM_HOST:
            topology.cable((hca.name, 1), (leaf_names[0], FIRST_UPLINK - 1 - hca.rail))
        else:
            leaf, below = divmod(hca.rail, per_leaf)
            topology.cable((hca.name, 1), (leaf_names[leaf], place[hca.node] * per_leaf + below + 1))
    parallel = 16 // spines
    for leaf, leaf_name in enumerate(leaf_names):
        for spine, spine_name in enumerate(spine_names):
            for wire in range(parallel):
                up = FIRST_UPLINK + spine * parallel + wire
                topology.cable((leaf_name, up), (spine_name, leaf * parallel + wire + 1))
    return topology


def three_tier(hosts: Sequence[str], *, per_pod: int = 32, spines: int = 16, cores: int = 4) -> Topology:
    """A full-size fabric: 511 hosts give 128 leaves, 128 spines, 64 cores and 12,280 cables.

    A pod is `per_pod` hosts with one leaf per rail. `spines` spines per rail join the pods' leaves
    of that rail; spine *s* of every rail hangs on the `cores` cores of group *s*.
    """
    pods = -(-len(hosts) // per_pod)
    to_spine, to_core = 32 // spines, 32 // cores
    if pods * to_spine > FIRST_UPLINK - 1:
        raise TopologyError(
            f"{len(hosts)} hosts are {pods} pods, a spine has cables for {(FIRST_UPLINK - 1) // to_spine}"
        )
    topology = Topology()
    leaf = {
        (pod, rail): _add_switch(topology, f"leaf-p{pod + 1:02}-r{rail + 1}")
        for pod in range(pods)
        for rail in range(RAILS)
    }
    spine = {
        (rail, index): _add_switch(topology, f"spine-r{rail + 1}-s{index + 1:02}")
        for rail in range(RAILS)
        for index in range(spines)
    }
    core = {
        (group, index): _add_switch(topology, f"core-g{group + 1:02}-c{index + 1}")
        for group in range(spines)
        for index in range(cores)
    }
    _add_hosts(topology, {name: (name, RAILS) for name in hosts})
    place = {name: divmod(number, per_pod) for number, name in enumerate(hosts)}
    for hca in topology.hcas.values():
        pod, below = place[hca.node]
        topology.cable((hca.name, 1), (leaf[pod, hca.rail], below + 1))
    for (pod, rail), name in leaf.items():
        for index in range(spines):
            for wire in range(to_spine):
                up = FIRST_UPLINK + index * to_spine + wire
                topology.cable((name, up), (spine[rail, index], pod * to_spine + wire + 1))
    for (rail, group), name in spine.items():
        for index in range(cores):
            for wire in range(to_core):
                up = FIRST_UPLINK + index * to_core + wire
                topology.cable((name, up), (core[group, index], rail * to_core + wire + 1))
    return topology


def net_file(topology: Topology) -> str:
    """`topology` as ibsim reads it (and as ibnetdiscover prints it)."""
    return "".join(_records(topology))


def _records(topology: Topology) -> Iterable[str]:
    yield _HEADER
    description = {name: switch.description for name, switch in topology.switches.items()}
    description.update((name, name) for name in topology.hcas)
    ports: dict[str, list[tuple[int, End]]] = {name: [] for name in description}
    for (name, port), peer in topology.peer.items():
        ports[name].append((port, peer))
    for name, switch in topology.switches.items():
        yield f"\nvendid=0x2c9\ndevid=0xd2f2\nsysimgguid={switch.guid:#x}\nswitchguid={switch.guid:#x}\n"
        yield f'Switch\t{SWITCH_PORTS} "{name}"\t\t# "{switch.description}" enhanced port 0 lid 0 lmc 0\n'
        for port, (other, other_port) in sorted(ports[name]):
            yield f'[{port}]\t"{other}"[{other_port}]\t\t# "{description[other]}" {_LINK}\n'
    for name, hca in topology.hcas.items():
        yield f"\nvendid=0x2c9\ndevid=0x1021\nsysimgguid={hca.guid:#x}\ncaguid={hca.guid:#x}\n"
        yield f'Ca\t1 "{name}"\t\t# "{name}"\n'
        for port, (other, other_port) in ports[name]:
            yield f'[{port}]\t"{other}"[{other_port}]\t\t# lid 0 lmc 0 "{description[other]}" {_LINK}\n'
