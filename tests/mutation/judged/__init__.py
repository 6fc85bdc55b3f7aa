# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges to be broken, by area: each file has `JUDGED`, and `REASONS` if a judge is also broken by its own means."""

from __future__ import annotations

import functools

from tests.areas import load

areas = functools.partial(load, __name__)
