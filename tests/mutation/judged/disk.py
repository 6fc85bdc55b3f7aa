# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area disk."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged

JUDGED: Judged = {
    "disk.mount": ("fail unknown", HEALTH),
    "disk.read_only": ("fail unknown", HEALTH),
    "disk.free": ("fail warn unknown", HEALTH),
    "disk.inodes": ("fail warn unknown", HEALTH),
    "disk.nvme.overheated": ("warn unknown", HEALTH),
    "disk.filesystem_errors": ("warn unknown", HEALTH),
    "disk.raid": ("fail warn unknown", HEALTH),
    "disk.nvme.count": ("fail warn unknown", HEALTH),
    "disk.nvme.state": ("fail warn unknown", HEALTH),
    "disk.nvme.firmware": ("warn unknown", HEALTH),
    "disk.nvme.health": ("fail warn unknown", HEALTH),
    "disk.nvme.wear": ("fail warn unknown", HEALTH),
    "disk.nvme.spare": ("fail unknown", HEALTH),
    "disk.nvme.media_errors": ("warn unknown", HEALTH),
    "disk.nvme.temperature": ("fail warn unknown", HEALTH),
}
