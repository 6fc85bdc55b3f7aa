# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that only nodes together can find."""

from __future__ import annotations

from lab import network
from lab.kinds.model import Kind, Parameter

MEGABITS = Parameter("mbit", 40, 1, lambda machine: 100_001)


KINDS: tuple[Kind, ...] = (
    Kind(
        "slow-link",
        "collective.pair",
        "the node sends no faster than so many Mbit/s",
        lambda target, values: network.slow_down(target.lab, target.machine, values["mbit"]),
        lambda target, values: network.full_speed(target.lab, target.machine),
        (MEGABITS,),
    ),
)
