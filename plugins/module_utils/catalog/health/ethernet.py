# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of the Ethernet interfaces that the class names."""

from __future__ import annotations

from ..model import Check, Thresholds

_NEEDS = ("hardware.ethernet",)

CHECKS: tuple[Check, ...] = (
    Check(
        "net.link",
        "Every Ethernet interface of the class has a link",
        ("network",),
        "network",
        "Look at cable and switch port; see with `ip link` that the interface has its name and is up.",
        "validate",
        source="`/sys/class/net/*/operstate` and carrier (`ip link`)",
        fails="An interface of hardware.ethernet is not there, or has no link.",
        needs=_NEEDS,
    ),
    Check(
        "net.speed",
        "Every Ethernet interface runs at the class's speed",
        ("network",),
        "network",
        "Set the switch port to the speed; reseat or replace cable and transceiver if the link still comes up slower.",
        "validate",
        source="`/sys/class/net/*/speed` (`ethtool`: Speed)",
        fails="An interface runs slower than its gbps in hardware.ethernet.",
        needs=_NEEDS,
    ),
    Check(
        "net.mtu",
        "Every Ethernet interface has the class's MTU",
        ("network",),
        "software",
        "Set the MTU where the interface is configured (netplan, ifupdown or systemd-networkd).",
        "validate",
        source="`/sys/class/net/*/mtu` (`ip link`)",
        fails="The MTU of an interface is another than in hardware.ethernet.",
        needs=_NEEDS,
    ),
    Check(
        "net.errors",
        "No Ethernet interface damages more packets than the class allows",
        ("network",),
        "network",
        "Clean and reseat the transceiver, then replace the cable.",
        "validate",
        source="`/sys/class/net/*/statistics`: rx_errors and tx_errors, of rx_packets and tx_packets (`ip -s link`)",
        fails="It warns where of a million packets of an interface net_errors_per_million or more, and ten in all, "
        "have been in error since its driver was loaded.",
        severity="warn",
        needs=_NEEDS,
    ),
    Check(
        "net.flaps",
        "No Ethernet link comes and goes",
        ("network", "history"),
        "network",
        "Clean and reseat the transceiver or cable at both ends; replace it if it goes on.",
        "validate",
        source="`/sys/class/net/*/carrier_changes`, compared with earlier passes",
        fails=(
            "A link came or went net_carrier_changes_per_day.fail times in a day; it warns from "
            "net_carrier_changes_per_day.warn on."
        ),
        needs=("hardware.ethernet",),
    ),
    Check(
        "net.missed",
        "No Ethernet interface misses packets for want of buffers",
        ("network", "history"),
        "software",
        "Give the interface longer queues (ethtool -G), and look whether flow control is as the switch has it.",
        "validate",
        source="`/sys/class/net/*/statistics/rx_missed_errors` (`ip -s link`: missed), compared with earlier passes",
        fails="It warns where an interface missed net_missed_per_hour packets in an hour.",
        severity="warn",
        needs=("hardware.ethernet",),
    ),
)

THRESHOLDS: Thresholds = {
    # Azure's node health check fails at more than five losses in a day; each is two changes. A restart of the driver
    # makes some, too.
    "net_carrier_changes_per_day": {"warn": 6, "fail": 12},
    # Ours: each is sent again; so many in an hour are no accident.
    "net_missed_per_hour": 1000,
    # A link that is as good as Ethernet has to be, with one wrong bit in 10^12, spoils one packet in 80 million.
    "net_errors_per_million": 1,
}
