# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the area pcie that the lab is tried with."""

from __future__ import annotations

from . import Fault

FAULTS: list[Fault] = [
    ("gpu-pcie-narrow", ["--gpu", "4"], "pcie.gpu.width", "gpu:4", "fail"),
    ("pcie-switch-narrow", ["--gpu", "3"], "pcie.path", "gpu:3", "fail"),
    ("acs-on", ["--gpu", "0"], "pcie.acs", "host", "fail"),
]
