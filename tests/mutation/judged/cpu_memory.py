# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area cpu_memory."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged

JUDGED: Judged = {
    "cpu.model": ("fail unknown", HEALTH),
    "cpu.count": ("fail warn unknown", HEALTH),
    "cpu.smt": ("warn unknown", HEALTH),
    "cpu.microcode": ("warn unknown", HEALTH),
    "cpu.governor": ("warn unknown", HEALTH),
    "cpu.mce": ("fail unknown", HEALTH),
    "host.memory": ("fail warn unknown", HEALTH),
    "memory.numa": ("fail unknown", HEALTH),
    "memory.numa_balancing": ("warn unknown", HEALTH),
    "memory.edac": ("fail unknown", HEALTH),
    "memory.ecc.uncorrected": ("fail unknown", HEALTH),
    "memory.ecc.corrected": ("warn unknown", HEALTH),
    "memory.page_offline": ("warn unknown", HEALTH),
}
