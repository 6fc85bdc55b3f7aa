# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the network interfaces: links, speed, size of packets, errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, read_text

_NUMBER = re.compile(r"-?[0-9]{1,20}")
_COUNTERS = ("rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_missed_errors")
# The ends of containers: of these a node may have hundreds.
_OF_CONTAINERS = "veth"
# The loopback, and a file by which the bonding driver is told what to do.
_NO_INTERFACES = ("lo", "bonding_masters")


def read_network(sysfs: Path) -> dict[str, Any]:
    """`interfaces` by name, without the loopback and the ends of containers.

    Each has `state` (the kernel's operstate: `up`, `down`, `unknown` where the driver tells none), `carrier` (1 with a
    link), `speed_mbps` (-1 where the driver knows none), `mtu` in bytes and the totals since the driver was loaded
    `rx_packets`, `tx_packets`, `rx_errors`, `tx_errors`, `rx_missed_errors` (for want of buffers) and
    `carrier_changes` (how often the link came or went). Any value may be `{"error"}`: an interface that is down has
    neither carrier nor speed. Raises OSError where they cannot be listed.
    """
    folder = sysfs / "class" / "net"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(_OF_CONTAINERS))
    return {"interfaces": {name: _interface(folder / name) for name in names if name not in _NO_INTERFACES}}


def _interface(path: Path) -> dict[str, Any]:
    return {
        "state": attempt(read_text, path / "operstate"),
        "carrier": attempt(_number, path / "carrier"),
        "speed_mbps": attempt(_number, path / "speed"),
        "mtu": attempt(_number, path / "mtu"),
        "carrier_changes": attempt(_number, path / "carrier_changes"),
        **{name: attempt(_number, path / "statistics" / name) for name in _COUNTERS},
    }


def _number(path: Path) -> int:
    text = read_text(path)
    if not _NUMBER.fullmatch(text):
        raise SourceError(f"{path}: not a number: {text[:80]!r}")
    return int(text)
