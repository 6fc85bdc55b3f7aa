# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area kernel_log."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged

JUDGED: Judged = {
    "kernel.log.bad": ("fail unknown", HEALTH),
    "kernel.log.unknown": ("warn unknown", HEALTH),
    "kernel.log.missing": ("warn unknown", HEALTH),
    "kernel.log.order": ("warn unknown", HEALTH),
    "kernel.log.changed": ("warn unknown", HEALTH),
}
