# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area host."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, MODULE, Judged, reason

CLOCK = ("tests/unit/health/test_health_readers.py", "-k", "clock")

JUDGED: Judged = {
    "host.reachable": ("unknown", MODULE),
    "systemd.failed": ("fail warn unknown", HEALTH),
    "systemd.required": ("fail unknown", HEALTH),
    "clock.offset": ("fail warn unknown", HEALTH),
    "os.release": ("fail unknown", HEALTH),
    "kernel.version": ("fail unknown", HEALTH),
    "kernel.command_line": ("fail unknown", HEALTH),
    "kernel.modules": ("fail unknown", HEALTH),
    "kernel.modules.unwanted": ("fail unknown", HEALTH),
    "kernel.taint": ("fail warn unknown", HEALTH),
    "host.limits": ("fail unknown", HEALTH),
    "host.oom_kills": ("warn unknown", HEALTH),
    "host.swap": ("warn unknown", HEALTH),
    "host.thp": ("warn unknown", HEALTH),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "clock: age",
        "observe/clock.py",
        "a clock that was left alone for days passes by its last offset",
        'round(time.time() - read["reference_time"], 3)',
        "0.0",
        CLOCK,
    ),
    reason(
        "clock: own",
        "observe/clock.py",
        "chrony's own clock passes for a source",
        '"00000000", "7F7F0101")',
        '"00000000")',
        CLOCK,
    ),
]
