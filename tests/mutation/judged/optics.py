# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area optics."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

JUDGED: Judged = {
    "optics.temperature": ("fail warn unknown", HEALTH),
    "optics.rx_power": ("fail warn unknown", HEALTH),
    "optics.tx_power": ("fail warn unknown", HEALTH),
    "optics.bias": ("warn unknown", HEALTH),
    "optics.raw_ber": ("warn unknown", HEALTH),
    "optics.effective_ber": ("fail warn unknown", HEALTH),
}

REASONS = [
    reason(
        "optics: no limits",
        "judge/optics.py",
        "a module that names no limits is judged by none",
        "if not values or low >= high:",
        "if not values:",
    ),
]
