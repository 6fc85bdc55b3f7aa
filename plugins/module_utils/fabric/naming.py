# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what devices call themselves in the fabric to the names of the cable plan and the roster.

======================================  ===========================  ==========================================
node description                        name                         how
======================================  ===========================  ==========================================
`MF0;leaf-01:MQM9700/U1`                switch `leaf-01`             between `MF0;` and `:`
`MF0;core:MCS8500/L02/U1`               switch `core/L02`            a director's boards are switches of their own
`leaf-01`                               switch `leaf-01`             as it stands
`node07 mlx5_3`                         HCA `mlx5_3` of `node07`     first word, second word
`node07.example.com mlx5_3`             HCA `mlx5_3` of `node07`     domain dropped unless the plan's names have one
`node07 HCA-4`                          HCA number 4 of `node07`     the fourth device of the plan's list
`Mellanox Technologies Aggregation...`  none                         the switch's own in-network reduction node
======================================  ===========================  ==========================================

What describes itself otherwise gets its name from the plan's `aliases`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .netlist import CA, Node

_MANAGED_SWITCH = re.compile(r"MF0;(?P<name>[^:]+):[^/]*(?P<board>/[A-Z]\d+)?/U\d+$")
_NUMBERED = re.compile(r"HCA-([0-9]{1,4})$")
_AGGREGATION = "Aggregation Node"


class Names:
    """Names for the nodes of one netlist, by the conventions above and the `aliases` of a cable plan.

    `devices` lists the HCAs of a host in the order of its rails, for descriptions that only number them.
    """

    def __init__(self, hosts: Mapping[str, Sequence[str]], aliases: Mapping[str, str]) -> None:
        self._hosts = hosts
        self._aliases = aliases

    def ignored(self, node: Node) -> bool:
        """Whether `node` is part of a switch and no business of a cable plan."""
        return node.kind == CA and _AGGREGATION in node.description

    def of(self, node: Node) -> tuple[str, str]:
        """(switch, "") or (host, device); the description itself where no rule fits."""
        alias = self._aliases.get(node.description)
        if alias is not None:
            host, _separator, device = alias.partition("/")
            return host, device
        if node.kind != CA:
            return self._switch(node.description), ""
        host, _separator, device = node.description.partition(" ")
        if host not in self._hosts:
            host = host.partition(".")[0]
        device = device.strip()
        numbered = _NUMBERED.match(device)
        if numbered is not None and host in self._hosts:
            position = int(numbered[1]) - 1
            if 0 <= position < len(self._hosts[host]):
                device = self._hosts[host][position]
        return host, device

    @staticmethod
    def _switch(description: str) -> str:
        managed = _MANAGED_SWITCH.match(description)
        if managed is None:
            return description
        return managed["name"] + (managed["board"] or "")
