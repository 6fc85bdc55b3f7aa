# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the areas say of their judges."""

from __future__ import annotations

from tests.mutation.mutant import Mutant

# Check -> verdicts that its judge has besides pass, and the tests of that judge.
Judged = dict[str, tuple[str, tuple[str, ...]]]

HEALTH = ("tests/unit/health/test_health_checks.py",)
MODULE = ("tests/unit/health/test_health_module.py", "tests/unit/health/test_health_judge.py")


def reason(name: str, file: str, what: str, old: str, new: str, tests: tuple[str, ...] = HEALTH) -> Mutant:
    return Mutant(f"reason {name}", f"plugins/module_utils/{file}", what, old, new, tests)
