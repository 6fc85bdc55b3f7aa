# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the area gpu_errors that the lab is tried with."""

from __future__ import annotations

from . import Fault

FAULTS: list[Fault] = [
    ("ecc-uncorrected", ["--gpu", "5"], "gpu.ecc.uncorrected", "gpu:5", "fail"),
    ("row-remap-pending", ["--gpu", "1"], "gpu.row_remap.pending", "gpu:1", "fail"),
    ("gpu-recovery-action", ["--gpu", "4"], "gpu.recovery_action", "gpu:4", "fail"),
    ("xid-79", ["--gpu", "2"], "gpu.xid", "gpu:2", "fail"),
]
