# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area gpu."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

HANG = ("tests/unit/health/test_health_hang.py",)

JUDGED: Judged = {
    "gpu.count": ("fail warn unknown", HEALTH),
    "gpu.model": ("fail unknown", HEALTH),
    "gpu.pci_device": ("fail unknown", HEALTH),
    "gpu.identity": ("warn unknown", HEALTH),
    "gpu.vbios": ("fail warn unknown", HEALTH),
    "gpu.inforom": ("fail unknown", HEALTH),
    "gpu.driver.version": ("fail", HEALTH),
    "gpu.cuda.version": ("fail", HEALTH),
    "gpu.persistence": ("warn unknown", HEALTH),
    "gpu.mig": ("fail warn unknown", HEALTH),
    "gpu.compute_mode": ("fail warn unknown", HEALTH),
    "gpu.clocks.max": ("fail unknown", HEALTH),
    "gpu.clocks.application": ("warn unknown", HEALTH),
    "gpu.memory.size": ("fail unknown", HEALTH),
    "gpu.bar1.size": ("fail unknown", HEALTH),
    "gpu.memory.leaked": ("warn unknown", HEALTH),
    "gpu.stray_processes": ("warn unknown", HEALTH),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "gpu: not there",
        "judge/each.py",
        "a GPU that cannot be opened passes as one that does not have what was asked",
        'if "error" not in gpu.read and isinstance(value, dict)',
        "if isinstance(value, dict)",
    ),
    reason(
        "gpu: version mismatch",
        "judge/gpu.py",
        "a library that is not the driver's is only unknown",
        '.get("code") != _VERSION_MISMATCH',
        '.get("code") != 0',
    ),
    reason(
        "gpu: hangs",
        "judge/view.py",
        "a GPU that hangs is not told from one that cannot be read",
        'if self.read.get("status") == "timeout":',
        "if False:",
        HANG,
    ),
]
