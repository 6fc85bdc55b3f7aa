# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of Ethernet interfaces."""

from __future__ import annotations

from lab import network
from lab.kinds.model import Kind

# Larger: to a smaller one connections that are open would send what it does not take, and hang.
_WRONG_MTU = 2000

KINDS: tuple[Kind, ...] = (
    Kind(
        "mtu-wrong",
        "net.mtu",
        "the node's network interface has another MTU than its switch",
        lambda target, values: network.set_mtu(target.lab, target.machine, _WRONG_MTU),
        lambda target, values: network.set_mtu(target.lab, target.machine, network.MTU),
    ),
)
