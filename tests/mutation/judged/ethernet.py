# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area ethernet."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

JUDGED: Judged = {
    "net.link": ("fail unknown", HEALTH),
    "net.speed": ("fail unknown", HEALTH),
    "net.mtu": ("fail unknown", HEALTH),
    "net.flaps": ("fail warn unknown", HEALTH),
    "net.missed": ("warn unknown", HEALTH),
    "net.errors": ("warn unknown", HEALTH),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "net: gone",
        "judge/ethernet.py",
        "an interface that is not there passes",
        "missing = Judged(Verdict.FAIL",
        "missing = Judged(Verdict.PASS",
    ),
    reason("net: few errors", "judge/ethernet.py", "one error is a rate", "errors >= _FEW and ", ""),
]
