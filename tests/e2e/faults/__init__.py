# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `lab fault` is tried with, by area: each file has `FAULTS`."""

from __future__ import annotations

import functools

from tests.areas import load

# Kind, its parameters, check, component (a prefix), verdict.
Fault = tuple[str, list[str], str, str, str]

areas = functools.partial(load, __name__)
