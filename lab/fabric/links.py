# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulated fabric's ports do right now, read with the real diagnostics.

ibsim 0.10 simulates nothing faster than HDR. So its fastest link stands for the lab's NDR, and
each slower one for the generation below that: ibnetdiscover and iblinkinfo print what ibsim
simulates (4X HDR), a node's sysfs shows 400 Gb/sec (4X NDR).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.fabric.simulator import Simulator
from lab.fabric.topology import SM_HCA, End, Topology

# Simulated speed of one lane -> (generation that it stands for, Gb/s of one lane).
STANDS_FOR = {
    "53.125": ("NDR", 100.0),
    "25.78125": ("HDR", 50.0),
    "14.0625": ("EDR", 25.0),
    "10.0": ("FDR", 14.0),
    "5.0": ("QDR", 10.0),
    "2.5": ("SDR", 2.5),
}
_END = r'0x(?P<{0}guid>[0-9a-f]+)(?:\s+"[^"]*")?\s+(?P<{0}lid>\d+)\s+(?P<{0}port>\d+)\[[^]]*\]'
_LINK = re.compile(
    _END.format("a_")
    + r"\s+==\(\s*(?P<width>\d+)X\s+(?P<speed>[\d.]+) Gbps\s+(?P<state>\w+)/\s*(?P<physical>\w+)\)==>\s+"
    + _END.format("b_")
)
_ERRORS = re.compile(r"^\s+GUID 0x(?P<guid>[0-9a-f]+) port (?P<port>\d+):(?P<counters>.*)$")
_COUNTER = re.compile(r"\[(?P<name>\w+) == (?P<value>\d+)")
_QUERY = re.compile(r"^(?P<name>\w+):\.*(?P<value>\d+)$")

COUNTERS = (
    "SymbolErrorCounter",
    "LinkErrorRecoveryCounter",
    "LinkDownedCounter",
    "PortRcvErrors",
    "PortRcvRemotePhysicalErrors",
    "PortRcvSwitchRelayErrors",
    "PortXmitDiscards",
    "PortXmitConstraintErrors",
    "PortRcvConstraintErrors",
    "LocalLinkIntegrityErrors",
    "ExcessiveBufferOverrunErrors",
    "VL15Dropped",
)


@dataclass(frozen=True)
class Link:
    """A live link seen from one of its ends. `lane_gbps` is the simulated speed, as the tool prints it."""

    peer: End
    lid: int
    width: int
    lane_gbps: str
    state: str

    @property
    def rate(self) -> str:
        """As the kernel writes it into sysfs: `400 Gb/sec (4X NDR)`."""
        generation, lane = STANDS_FOR[self.lane_gbps]
        return f"{self.width * lane:g} Gb/sec ({self.width}X {generation})"


@dataclass
class FabricState:
    """Live links by the end they are seen from, error counters by HCA name, and the subnet manager's lid."""

    links: dict[End, Link] = field(default_factory=dict)
    counters: dict[str, Mapping[str, int]] = field(default_factory=dict)
    sm_lid: int = 0

    def settled(self) -> bool:
        """Whether the subnet manager has brought every live link up."""
        return bool(self.links) and all(link.state == "Active" for link in self.links.values())


def read(simulator: Simulator, topology: Topology) -> FabricState:
    """Asks the fabric: one iblinkinfo, one ibqueryerrors, and one perfquery at each HCA that is cut off."""
    state = FabricState()
    names = {hca.port_guid: name for name, hca in topology.hcas.items()}
    names.update((switch.guid, name) for name, switch in topology.switches.items())
    for match in _LINK.finditer(simulator.diagnose(["iblinkinfo", "--line"])):
        ends = [(names[int(match[side + "guid"], 16)], int(match[side + "port"])) for side in ("a_", "b_")]
        for end, peer, lid in ((ends[0], ends[1], "a_lid"), (ends[1], ends[0], "b_lid")):
            state.links[end] = Link(peer, int(match[lid]), int(match["width"]), match["speed"], match["state"])
    if (SM_HCA, 1) in state.links:
        state.sm_lid = state.links[SM_HCA, 1].lid
    _read_counters(simulator, topology, state)
    return state


def _read_counters(simulator: Simulator, topology: Topology, state: FabricState) -> None:
    thresholds = Path(simulator.directory, "thresholds")
    thresholds.write_text("".join(f"{name}=0\n" for name in COUNTERS))
    listing = simulator.diagnose(["ibqueryerrors", "--ca", "--threshold-file", str(thresholds)])
    by_guid = {hca.port_guid: name for name, hca in topology.hcas.items()}
    for line in listing.splitlines():
        match = _ERRORS.match(line)
        if match:
            name = by_guid[int(match["guid"], 16)]
            state.counters[name] = {item["name"]: int(item["value"]) for item in _COUNTER.finditer(match["counters"])}
    for name in topology.hcas:
        # A port without a link cannot be asked through the fabric; its own host can still ask it.
        if (name, 1) not in state.links:
            answer = simulator.diagnose(["perfquery"], at=name)
            found = (_QUERY.match(line) for line in answer.splitlines())
            state.counters[name] = {item["name"]: int(item["value"]) for item in found if item}
