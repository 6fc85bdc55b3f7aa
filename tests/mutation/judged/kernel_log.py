# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area kernel_log."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

JUDGED: Judged = {
    "kernel.log.bad": ("fail unknown", HEALTH),
    "kernel.log.unknown": ("warn unknown", HEALTH),
    "kernel.log.missing": ("warn unknown", HEALTH),
    "kernel.log.order": ("warn unknown", HEALTH),
    "kernel.log.changed": ("warn unknown", HEALTH),
}

_STARTS = ("tests/unit/health/test_health_starts.py",)
REASONS = [
    reason(
        "kernel log: lines of the start",
        "judge/kernel_log.py",
        "seven HCAs of eight are as good as all",
        "if template in here and here[template] < count and not",
        "if False and not",
    ),
    reason(
        "kernel log: close lines",
        "judge/kernel_log.py",
        "lines have an order that were learned side by side",
        "learned[template][1] + _APART_SECONDS)",
        "learned[template][1])",
    ),
    reason(
        "kernel log: lost and not remembered",
        "judge/kernel_log.py",
        "a start that nobody has seen is as the ones before",
        'if starts.get("fewer") is None:',
        "if False:",
    ),
    reason(
        "kernel log: chance",
        "observe/starts.py",
        "what came at one of the starts before is missed",
        "least = {each: min(start[each][0] for start in before) for each in before[0] if each in before[1]}",
        "least = {each: before[0][each][0] for each in before[0]}",
        _STARTS,
    ),
    reason(
        "kernel log: half a start",
        "observe/history.py",
        "a start is remembered before it is over",
        "seen if starts.is_over(log, now.uptime) else None",
        "seen",
        _STARTS,
    ),
]
