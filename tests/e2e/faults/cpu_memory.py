# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the area cpu_memory that the lab is tried with."""

from __future__ import annotations

from . import Fault

FAULTS: list[Fault] = [
    ("cpu-missing", [], "cpu.count", "host", "fail"),
    ("memory-uncorrected", [], "memory.ecc.uncorrected", "memory:mc3", "fail"),
]
