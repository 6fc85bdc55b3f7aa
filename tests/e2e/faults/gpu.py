# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the area gpu that the lab is tried with."""

from __future__ import annotations

from . import Fault

FAULTS: list[Fault] = [
    ("gpu-missing", ["--gpu", "3"], "gpu.count", "gpu:3", "fail"),
    ("gpu-inforom", ["--gpu", "4"], "gpu.inforom", "gpu:4", "fail"),
    ("gpu-hangs", ["--gpu", "6"], "gpu.count", "gpu:6", "fail"),
]
