# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the training fabric."""

from __future__ import annotations

from tests.mutation.reasons import Judged

FABRIC = ("tests/unit/fabric/test_compare.py",)
FABRIC_ACTION = ("tests/unit/run/test_strangers.py",)
COLLECTIVE = ("tests/unit/collective",)

JUDGED: Judged = {
    "fabric.discovery": ("unknown", FABRIC_ACTION),
    "fabric.split": ("fail", FABRIC),
    "fabric.link.missing": ("fail unknown", FABRIC),
    "fabric.link.extra": ("fail warn", FABRIC),
    "fabric.link.swapped": ("fail warn", FABRIC),
    "fabric.port.down": ("fail unknown", FABRIC),
    "collective.intra": ("fail unknown", COLLECTIVE),
    "collective.inter": ("fail warn unknown", COLLECTIVE),
    "collective.pair": ("fail warn unknown", COLLECTIVE),
}
