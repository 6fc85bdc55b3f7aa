# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits that hold where a node class sets none, for H100-like nodes. Where each comes from is said in its area's file.

The shape is that of a node class's `thresholds`. A limit is reached at its value: 90 with `fail: 90` fails.
"""

from __future__ import annotations

from types import ModuleType

from . import compute
from .areas import AREAS
from .model import Thresholds

# Where they stand, with the comments that say why.
SOURCES: tuple[ModuleType, ...] = (*AREAS, compute)

DEFAULTS: Thresholds = {name: limit for source in SOURCES for name, limit in source.THRESHOLDS.items()}
