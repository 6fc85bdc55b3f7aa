# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area hca."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

HISTORY = ("tests/unit/health/test_health_history.py",)

JUDGED: Judged = {
    "hca.count": ("fail warn unknown", HEALTH),
    "hca.state": ("fail unknown", HEALTH),
    "hca.physical_state": ("fail unknown", HEALTH),
    "hca.link_layer": ("fail unknown", HEALTH),
    "hca.name": ("fail unknown", HEALTH),
    "hca.guid": ("fail unknown", HEALTH),
    "hca.subnet_manager": ("fail unknown", HEALTH),
    "hca.pkey": ("fail unknown", HEALTH),
    "hca.rate": ("fail warn unknown", HEALTH),
    "hca.link_downed": ("fail warn unknown", HEALTH),
    "hca.link_error_recovery": ("fail warn unknown", HEALTH),
    "hca.symbol_errors": ("fail warn unknown", HEALTH),
    "hca.receive_errors": ("fail warn unknown", HEALTH),
    "hca.link_integrity": ("fail warn unknown", HEALTH),
    "hca.buffer_overruns": ("fail warn unknown", HEALTH),
    "hca.transmit_discards": ("warn unknown", HEALTH),
    "hca.remote_errors": ("warn unknown", HEALTH),
    "hca.management_dropped": ("warn unknown", HEALTH),
    "hca.constraint_errors": ("warn unknown", HEALTH),
    "hca.ack_timeouts": ("warn unknown", HEALTH),
    "hca.sequence_errors": ("warn unknown", HEALTH),
    "hca.firmware": ("fail warn unknown", HEALTH),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "hca: no GUID",
        "judge/hca.py",
        "an HCA without a GUID passes",
        "if guid == _NO_GUID:",
        "if False:",
    ),
    reason(
        "hca: no LID",
        "judge/hca.py",
        "a port that no subnet manager has seen passes",
        "_NO_LID = (0, 0xFFFF)",
        "_NO_LID = (0,)",
    ),
    reason(
        "counter: window",
        "judge/rates.py",
        "growth of long ago counts for ever",
        "amount += delta * share",
        "amount += delta",
        HISTORY,
    ),
    reason(
        "counter: burst",
        "judge/rates.py",
        "a burst between passes a day apart is averaged away",
        "since - until <= _BETWEEN_PASSES",
        "False",
        HISTORY,
    ),
    reason(
        "counter: cleared",
        "observe/history.py",
        "what was before a counter was cleared holds the repaired node back",
        "if change.until + passed < KEEP_SECONDS and change.name not in cleared",
        "if change.until + passed < KEEP_SECONDS",
        HISTORY,
    ),
    reason(
        "counter: boot",
        "observe/history.py",
        "a counter that began anew with the boot is compared with what it said before",
        "if before is None or before.at.boot_id != now.boot_id:",
        "if before is None:",
        HISTORY,
    ),
    reason(
        "counter: stopped",
        "judge/hca.py",
        "a counter that has stopped passes for one that does not grow",
        "if stopped and verdict is not Verdict.FAIL:",
        "if False:",
    ),
]
