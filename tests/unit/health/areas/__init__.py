# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The areas of health checks, for the tests of judges: each file has what is healthy there, and cases that are not.

A file has any of `CLASS` (what the node class of the tests says of the area), `HEALTHY` (by reader what it reads of a
healthy node), `NOT_JUDGED` (keys that are read for the record only) and `CASES`. Several areas may share a reader.
"""

from __future__ import annotations

import functools

from tests.areas import load

areas = functools.partial(load, __name__)
