# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a mutant of a playbook is written, and the tests that play them."""

from __future__ import annotations

from ..mutant import Mutant

ALL = ("tests/unit/run/test_phases.py",)
BMC = "tests/unit/run/test_bmc.py"
ENROLMENT = "tests/unit/run/test_enrolment.py"
REPAIR = "tests/unit/lifecycle/test_reprovision.py"
UPGRADE = "tests/unit/lifecycle/test_upgrade.py"
FIRMWARE = "tests/unit/lifecycle/test_firmware.py"
REMEDIES = "tests/unit/lifecycle/test_remediate.py"
DRIFT = "tests/unit/software/test_drift.py"


def played(words: str) -> tuple[str, ...]:
    """Those tests of the phases whose names have these words."""
    return (*ALL, "-k", words)


SITE = played("gate or ledger or maas or report or through")


def broken(name: str, file: str, what: str, old: str, new: str, tests: tuple[str, ...] = SITE) -> Mutant:
    return Mutant(f"playbook {name}", f"playbooks/{file}", what, old, new, tests)
