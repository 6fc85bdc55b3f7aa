# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area nvlink."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

JUDGED: Judged = {
    "gpu.nvlink.active": ("fail unknown", HEALTH),
    "gpu.nvlink.speed": ("fail unknown", HEALTH),
    "gpu.nvlink.crc_rate": ("fail warn unknown", HEALTH),
    "gpu.nvlink.replay_rate": ("fail warn unknown", HEALTH),
    "gpu.nvlink.recovery_rate": ("fail warn unknown", HEALTH),
    "gpu.nvlink.effective_errors": ("fail warn unknown", HEALTH),
    "gpu.nvlink.failed_recoveries": ("fail warn unknown", HEALTH),
    "gpu.fabric_manager": ("fail unknown", HEALTH),
    "gpu.fabric.state": ("fail unknown", HEALTH),
    "gpu.fabric.health": ("fail warn unknown", HEALTH),
    "gpu.sxid": ("fail warn unknown", HEALTH),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "gpu: SXID before the driver",
        "judge/sxid.py",
        "an SXID after the driver was loaded is taken for over",
        "loaded > last",
        "loaded > 0",
    ),
    reason(
        "gpu: fabric state",
        "catalog/checks.py",
        "GPUs that tell no fabric state are passed over",
        "_at(node_class, key) is False for key",
        "_at(node_class, key) is not True for key",
    ),
]
