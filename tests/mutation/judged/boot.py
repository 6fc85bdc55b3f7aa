# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of machines that have no operating system yet."""

from __future__ import annotations

from tests.mutation.reasons import Judged

BOOT = ("tests/unit/redfish/test_triage.py",)
BMC = ("tests/unit/run/test_bmc.py", "-k", "event_log")

JUDGED: Judged = {
    "bmc.event_log": ("warn", BOOT),
    "bmc.answers": ("warn", BMC),
    "boot.script": ("fail", BOOT),
    "boot.bmc_unreachable": ("fail", BOOT),
    "boot.bmc_certificate": ("fail", BOOT),
    "boot.bmc_login": ("fail", BOOT),
    "boot.no_power": ("fail", BOOT),
    "boot.post": ("fail", BOOT),
    "boot.no_link": ("fail", BOOT),
    "boot.order": ("fail", BOOT),
    "boot.no_lease": ("fail", BOOT),
    "boot.no_disk": ("fail", BOOT),
    "boot.disk_changed": ("fail", BOOT),
    "boot.clock": ("fail", BOOT),
    "boot.certificate": ("fail", BOOT),
    "boot.no_ssh": ("fail", BOOT),
    "boot.unexplained": ("unknown", BOOT),
}
