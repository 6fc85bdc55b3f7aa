# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ibnetdiscover found: nodes and the links between their ports.

`parse` takes both forms that ibnetdiscover prints, the topology (records of a node and its ports) and
the port list of `-p`, in one pass. Runs on nodes: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1

# A node description has 64 bytes, so a line of either form has a few hundred; patterns would be slow on more.
_LONGEST_LINE = 4096

SWITCH, CA, ROUTER = "switch", "ca", "router"
_KINDS = {"Switch": SWITCH, "Ca": CA, "Rt": ROUTER, "SW": SWITCH, "CA": CA, "RT": ROUTER}
_KIND_OF_ID = {"S": SWITCH, "H": CA, "R": ROUTER}

Port = tuple[str, int]
"""(id of the node, port number)"""

_HEADER = re.compile(
    r'(?P<kind>Switch|Ca|Rt)\s+(?P<ports>\d{1,5})\s+"(?P<id>[^"]*)"\s*(?:#\s*"(?P<description>[^"]*)")?'
)
_PORT = re.compile(
    r"\[(?P<number>\d{1,5})\](?:\[ext \d+\])?(?:\([0-9a-f]*\))?\s+"
    r'"(?P<id>[^"]*)"\[(?P<remote>\d{1,5})\](?:\[ext \d+\])?(?:\([0-9a-f]*\))?'
    r'(?:\s*#[^"]*"(?P<description>[^"]*)"(?:\s+lid\s+\d+)?(?:\s+(?P<width>\d{1,5})x(?P<speed>[A-Z]+\d*))?)?'
)
_LISTED = re.compile(
    r"(?P<kind>CA|SW|RT)\s+\d+\s+(?P<number>\d{1,5})\s+(?:0x)?(?P<id>[0-9a-f]+)\s+(?P<width>\d{1,5}|\?+)x\s+(?P<speed>\S+)\s+"
    r"(?:-\s+(?P<peer_kind>CA|SW|RT)\s+\d+\s+(?P<peer_number>\d{1,5})\s+(?:0x)?(?P<peer_id>[0-9a-f]+)\s+"
    r"\(\s*'(?P<description>.*)'\s+-\s+'(?P<peer_description>.*)'\s*\)|'?(?P<alone>.*?)'?\s*$)"
)
# Lines of the topology form that say nothing about links.
_ASIDE = re.compile(r"(?:#|vendid=|devid=|sysimgguid=|switchguid=|caguid=|rtguid=|DR path|$)")


class NetlistError(ValueError):
    """A serialised netlist that cannot be read; says what is wrong with it."""


@dataclass(frozen=True)
class Node:
    """A switch, an HCA or a router, as it describes itself. `ports` is 0 where the output does not say."""

    id: str
    kind: str
    description: str
    ports: int = 0


@dataclass(frozen=True)
class Link:
    """A live link. `width` counts lanes, 0 where it was not printed; `speed` is the generation ("NDR") or empty."""

    a: Port
    b: Port
    width: int = 0
    speed: str = ""


@dataclass
class Netlist:
    """Nodes by id, links by the end that was printed first, and how many lines made no sense."""

    nodes: dict[str, Node] = field(default_factory=dict)
    links: dict[Port, Link] = field(default_factory=dict)
    unread_lines: int = 0

    def add(self, link: Link) -> None:
        """Adds `link` unless its other end has told of it already."""
        known = self.links.get(link.b)
        if known is None or known.b != link.a:
            self.links[link.a] = link

    def merge(self, other: Netlist) -> None:
        """Takes in what was discovered from another point of the fabric."""
        self.nodes.update(other.nodes)
        self.unread_lines += other.unread_lines
        for link in other.links.values():
            self.add(link)

    def to_dict(self) -> dict[str, Any]:
        """Compact JSON form: nodes as rows, links as rows that point at nodes by position."""
        position = {node: number for number, node in enumerate(self.nodes)}
        return {
            "schema": SCHEMA_VERSION,
            "nodes": [[node.id, node.kind, node.description, node.ports] for node in self.nodes.values()],
            "links": [
                [position[link.a[0]], link.a[1], position[link.b[0]], link.b[1], link.width, link.speed]
                for link in self.links.values()
            ],
            "unread_lines": self.unread_lines,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Netlist:
        """Raises NetlistError."""
        if not isinstance(data, Mapping):
            raise NetlistError(f"not a netlist: a {type(data).__name__}")
        if data.get("schema") != SCHEMA_VERSION:
            raise NetlistError(f"netlist of schema {data.get('schema')!r}, this version reads {SCHEMA_VERSION}")
        try:
            nodes = [Node(str(row[0]), str(row[1]), str(row[2]), int(row[3])) for row in data["nodes"]]
            netlist = cls({node.id: node for node in nodes}, {}, int(data["unread_lines"]))
            for a, a_port, b, b_port, width, speed in data["links"]:
                netlist.add(Link((nodes[a].id, int(a_port)), (nodes[b].id, int(b_port)), int(width), str(speed)))
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise NetlistError(f"not a netlist: {error!r}") from error
        return netlist


def parse(lines: Iterable[str]) -> Netlist:
    """Reads ibnetdiscover's output line by line; a line that makes no sense is counted, never fatal."""
    netlist = Netlist()
    owner: str | None = None
    for line in lines:
        text = line.strip()
        if len(text) > _LONGEST_LINE:
            netlist.unread_lines += 1
        elif text.startswith("["):
            if owner is None or not _read_port(netlist, owner, text):
                netlist.unread_lines += 1
        elif _ASIDE.match(text):
            # A blank line ends the record of a node.
            owner = None if not text else owner
        elif (header := _HEADER.match(text)) is not None:
            owner = header["id"]
            known = netlist.nodes.get(owner)
            description = header["description"] or (known.description if known else "")
            netlist.nodes[owner] = Node(owner, _KINDS[header["kind"]], description.strip(), int(header["ports"]))
        elif not _read_listed(netlist, text):
            netlist.unread_lines += 1
    return netlist


def _read_port(netlist: Netlist, owner: str, text: str) -> bool:
    match = _PORT.match(text)
    if match is None:
        return False
    peer = match["id"]
    if peer not in netlist.nodes:
        kind = _KIND_OF_ID.get(peer[:1], CA)
        netlist.nodes[peer] = Node(peer, kind, (match["description"] or "").strip())
    width, speed = int(match["width"] or 0), match["speed"] or ""
    netlist.add(Link((owner, int(match["number"])), (peer, int(match["remote"])), width, speed))
    return True


def _read_listed(netlist: Netlist, text: str) -> bool:
    match = _LISTED.match(text)
    if match is None:
        return False
    here = match["id"]
    description = match["alone"] if match["peer_id"] is None else match["description"]
    netlist.nodes.setdefault(here, Node(here, _KINDS[match["kind"]], description.strip()))
    if match["peer_id"] is not None:
        peer = match["peer_id"]
        netlist.nodes.setdefault(peer, Node(peer, _KINDS[match["peer_kind"]], match["peer_description"].strip()))
        width = int(match["width"]) if match["width"].isdigit() else 0
        netlist.add(Link((here, int(match["number"])), (peer, int(match["peer_number"])), width, match["speed"]))
    return True
