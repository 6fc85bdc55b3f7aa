# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ethernet interfaces: well, and not."""

from __future__ import annotations

from typing import Any

from tests.unit.health.cases import c
from tests.unit.health.health_factory import Spoil, drop, put, unreadable

CLASS = {
    "hardware": {
        "ethernet": [{"name": "eth0", "gbps": 10, "mtu": 1500}, {"name": "bond0", "gbps": 200, "mtu": 9000}],
    }
}


def interface(speed_mbps: int, mtu: int) -> dict[str, Any]:
    counts = {"rx_packets": 5 * 10**6, "tx_packets": 5 * 10**6, "rx_errors": 0, "tx_errors": 0}
    counts |= {"rx_missed_errors": 5, "carrier_changes": 3}
    return {"state": "up", "carrier": 1, "speed_mbps": speed_mbps, "mtu": mtu, **counts}


HEALTHY = {"network": {"interfaces": {"eth0": interface(10000, 1500), "bond0": interface(200000, 9000)}}}

# Asked only where the driver tells no state.
NOT_JUDGED = {"carrier"}

BOND = "network|interfaces|bond0"
DENIED = {"error": "permission denied"}


def grown(counter: str, by: int) -> Spoil:
    """Of bond0, in the last hour."""
    return put("history|changes", [[f"net:bond0/{counter}", by, 3600.0, 0.0]])


CASES = [
    c("net.flaps", "pass", "net:bond0", "came or went 5 times", grown("carrier_changes", 5)),
    c("net.flaps", "warn", "net:bond0", "came or went 6 times", grown("carrier_changes", 6)),
    c("net.flaps", "fail", "net:bond0", "came or went 12 times", grown("carrier_changes", 12)),
    c("net.flaps", "pass", "net:eth0", "came or went 0 times", grown("carrier_changes", 12)),
    c("net.flaps", "unknown", "net:bond0", "permission", put(f"{BOND}|carrier_changes", DENIED)),
    c("net.missed", "pass", "net:bond0", "999 packets", grown("rx_missed_errors", 999)),
    c("net.missed", "warn", "net:bond0", "1000 packets", grown("rx_missed_errors", 1000)),
    c("net.missed", "unknown", "net:bond0", "permission", put(f"{BOND}|rx_missed_errors", DENIED)),
    c("net.link", "pass", "net:bond0", "is up"),
    c("net.link", "fail", "net:bond0", "is lowerlayerdown", put(f"{BOND}|state", "lowerlayerdown")),
    c("net.link", "fail", "net:bond0", "no such interface", drop(BOND)),
    c("net.link", "pass", "net:bond0", "is unknown", put(f"{BOND}|state", "unknown")),
    c("net.link", "fail", "net:bond0", "is unknown", put(f"{BOND}|state", "unknown"), put(f"{BOND}|carrier", 0)),
    c("net.link", "unknown", "net:bond0", "permission", put(f"{BOND}|state", DENIED)),
    c("net.link", "unknown", "net:bond0", "permission", put(BOND, DENIED)),
    c("net.link", "unknown", "host", "no answer", unreadable("network")),
    c("net.link", "unknown", "host", "permission", put("network|interfaces", DENIED)),
    c("net.speed", "pass", "net:eth0", "10 Gb/s"),
    c("net.speed", "fail", "net:bond0", "100 Gb/s, the class has 200", put(f"{BOND}|speed_mbps", 100000)),
    c("net.speed", "unknown", "net:bond0", "no link", put(f"{BOND}|state", "down")),
    c("net.speed", "unknown", "net:bond0", "tells no speed", put(f"{BOND}|speed_mbps", -1)),
    c("net.speed", "unknown", "net:bond0", "permission", put(f"{BOND}|speed_mbps", DENIED)),
    c("net.mtu", "pass", "net:bond0", "MTU 9000"),
    c("net.mtu", "fail", "net:bond0", "MTU 1500, the class has 9000", put(f"{BOND}|mtu", 1500)),
    c("net.mtu", "fail", "net:eth0", "MTU 9000, the class has 1500", put("network|interfaces|eth0|mtu", 9000)),
    c("net.mtu", "unknown", "net:bond0", "permission", put(f"{BOND}|mtu", DENIED)),
    c("net.mtu", "unknown", "host", "none of the class's interfaces", put("network|interfaces", {})),
    c("net.errors", "pass", "net:bond0", "0 of 1e+07 packets"),
    c("net.errors", "warn", "net:bond0", "11 of 1e+07 packets", put(f"{BOND}|tx_errors", 11)),
    c("net.errors", "pass", "net:bond0", "9 of 1e+07 packets", put(f"{BOND}|rx_errors", 9)),
    # One of ten packets, but what is one?
    c(
        "net.errors",
        "pass",
        "net:bond0",
        "1 of 10 packets",
        *(put(f"{BOND}|{name}", count) for name, count in (("rx_errors", 1), ("rx_packets", 9), ("tx_packets", 0))),
    ),
    c(
        "net.errors",
        "pass",
        "net:bond0",
        "0 of 0 packets",
        *(put(f"{BOND}|{way}_packets", 0) for way in ("rx", "tx")),
    ),
    c(
        "net.errors",
        "pass",
        "net:bond0",
        "11 of 1e+07 packets",
        put(f"{BOND}|tx_errors", 11),
        thresholds={"net_errors_per_million": 2},
    ),
    c("net.errors", "unknown", "net:bond0", "permission", put(f"{BOND}|rx_errors", DENIED)),
]
