# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area pcie."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

JUDGED: Judged = {
    "pcie.devices": ("fail warn unknown", HEALTH),
    "pcie.gpu.width": ("fail unknown", HEALTH),
    "pcie.gpu.speed": ("fail unknown", HEALTH),
    "pcie.hca.width": ("fail unknown", HEALTH),
    "pcie.hca.speed": ("fail unknown", HEALTH),
    "pcie.path": ("fail unknown", HEALTH),
    "pcie.nvme.width": ("warn unknown", HEALTH),
    "pcie.errors.fatal": ("fail warn unknown", HEALTH),
    "pcie.errors.nonfatal": ("warn unknown", HEALTH),
    "pcie.errors.correctable": ("warn unknown", HEALTH),
    "pcie.acs": ("fail unknown", HEALTH),
    "pcie.iommu": ("fail unknown", HEALTH),
    "pcie.max_read_request": ("fail unknown", HEALTH),
    "pcie.max_payload": ("warn unknown", HEALTH),
    "pcie.relaxed_ordering": ("warn unknown", HEALTH),
    "pcie.numa": ("warn unknown", HEALTH),
    "pcie.gpu_hca_pair": ("fail unknown", HEALTH),
    "pcie.bar": ("fail unknown", HEALTH),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "pcie: wired narrow",
        "judge/pcie.py",
        "a link that is as narrow as its ends passes",
        ", wanted.get(_WANTED[key]) or 0)",
        ", 0)",
    ),
    reason(
        "pcie: idle speed",
        "judge/pcie.py",
        "the speed of an idle GPU makes its path slow",
        'keys = ("width",) if lower == part.address else',
        'keys = ("width",) if False else',
    ),
    reason(
        "pcie: no regions",
        "judge/pcie.py",
        "a device without memory passes",
        "        if not bars:",
        "        if False:",
    ),
]
