# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SXIDs: error numbers of NVSwitches in the kernel log, which of them need nobody, and which end the whole fabric.

The source is NVIDIA's Fabric Manager User Guide (DU-09883-001), appendix D: D.4 non-fatal, D.5 fatal, D.6 always fatal.
The driver says with each whether it was fatal, and that decides, but for those that are always fatal. Of those that it
calls nonfatal some are corrected by the switch itself; the others are worth a look.
"""

from __future__ import annotations

# D.4: single-bit errors that the switch corrects, and 22013, which tells of nothing. In the guide's order, as of 2025.
HARMLESS: frozenset[int] = frozenset(
    (
        *(11012, 11021, 11022, 11023, 12021, 12023, 15008, 15011),
        *(19049, 19055, 19057, 19059, 19062, 19065, 19068, 19071),
        *(24001, 24002, 24003, 22013),
    )
)

# D.6: after these no NVSwitch of the node is to be relied upon until the host was restarted, whatever severity is told.
ALWAYS_FATAL: frozenset[int] = frozenset((12020, 22003, 22011, *range(23001, 23018)))
RESTART = "Drain the node and restart it, which resets all NVSwitches; have the baseboard looked at if it comes back."

# D.4: nonfatal, and traffic of the GPUs behind it stands still until the switch was reset.
STALLS: frozenset[int] = frozenset((11004, 12028, 19084))
# D.4: the connection of a link, unless a machine at its other end went down.
_CONNECTION = 20012
# D.4: a packet was sent again.
_REPLAY = 20001

# Of a number the first two digits are the part of the switch.
_PARTS = {
    11: "ingress",
    12: "egress",
    14: "time-out of a transaction",
    15: "routing",
    19: "NVLink interface",
    20: "NVLink",
    22: "link controller",
    23: "crossbar",
    24: "source tracking",
}


def meaning_of(code: int) -> str:
    """What a person is told of the number, empty where nothing is known."""
    if code == _CONNECTION:
        return "connection of a link, or its other end was shut down"
    if code == _REPLAY:
        return "NVLink, a packet was sent again"
    return _PARTS.get(code // 1000, "")
