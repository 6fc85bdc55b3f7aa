# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area thermal."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged

JUDGED: Judged = {
    "gpu.temperature": ("fail warn unknown", HEALTH),
    "gpu.temperature.memory": ("fail warn unknown", HEALTH),
    "gpu.temperature.outlier": ("warn unknown", HEALTH),
    "gpu.throttle.hardware": ("fail unknown", HEALTH),
    "gpu.throttle.thermal": ("fail warn unknown", HEALTH),
    "gpu.throttle.power_brake": ("fail unknown", HEALTH),
    "gpu.throttle.time": ("warn unknown", HEALTH),
    "gpu.clocks.stuck": ("warn unknown", HEALTH),
    "gpu.power.limit": ("warn unknown", HEALTH),
    "gpu.power.idle": ("warn unknown", HEALTH),
}
