# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area container."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged

JUDGED: Judged = {
    "docker.daemon": ("fail unknown", HEALTH),
    "docker.storage_driver": ("fail unknown", HEALTH),
    "docker.cgroup": ("fail unknown", HEALTH),
    "docker.data_root": ("fail unknown", HEALTH),
    "docker.gpu": ("fail unknown", HEALTH),
}
