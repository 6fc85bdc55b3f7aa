# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The areas of health checks, for whole machines that are made up.

Each file has `healthy`, which gives a machine what the area has on one without fault, and `DEFECTS`, each of which its
check must find. Areas do not know each other: `healthy` of one takes nothing that another gives. `CLASS` is what a node
class must say for the area's checks to be expected, where the lab's class does not say it.
"""

from __future__ import annotations

import functools

from tests.areas import load

areas = functools.partial(load, __name__)
