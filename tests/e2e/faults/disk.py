# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the area disk that the lab is tried with."""

from __future__ import annotations

from . import Fault

FAULTS: list[Fault] = [
    ("disk-full", [], "disk.free", "mount:/data", "fail"),
    ("nvme-worn", [], "disk.nvme.wear", "nvme:nvme0", "fail"),
    ("nvme-dead", [], "disk.nvme.state", "nvme:nvme0", "fail"),
]
