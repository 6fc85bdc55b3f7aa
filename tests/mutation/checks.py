# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every check of the catalogue a broken judge.

All judges, on nodes and on the controller, make their findings by `finding` of the catalogue. There a verdict of one
check is made a pass: `fail`, `warn` and `unknown` apart, as far as the check has them. Besides, judges by their own
means: a reason that is swallowed, a check that is forgotten.
"""

from __future__ import annotations

from .judged import areas
from .mutant import Mutant
from .reasons import Judged, reason

CATALOGUE = "plugins/module_utils/catalog/checks.py"
_PLACE = "    entry = CHECKS[check]\n"
JUDGED: Judged = {check: judged for area in areas() for check, judged in area.JUDGED.items()}

# Made by the run directory itself, where a file cannot be read.
UNREADABLE = Mutant(
    "check gate.missing: unknown",
    "plugins/module_utils/lifecycle/run.py",
    "an unreadable file of findings passes",
    "verdict=Verdict.UNKNOWN,",
    "verdict=Verdict.PASS,",
    ("tests/unit/run/test_run_directory.py",),
)

HOLDERS = ("tests/unit/health/test_health_holders.py",)
HANG = ("tests/unit/health/test_health_hang.py",)

# What no area of checks has: how readers are run, what is asked before work, and where a disk is.
OTHERS = [
    reason(
        "reader: behind a hang",
        "observe/runner.py",
        "what is behind a GPU that hangs is not read",
        "if progress.left and len(progress.problems) <= RESTARTS:",
        "if False:",
        HANG,
    ),
    reason(
        "reader: shown anew",
        "observe/runner.py",
        "GPUs that were numbered anew while one hung are taken for those before",
        "elif line != self.progress.shown:",
        "elif False:",
        HANG,
    ),
    reason(
        "reader: slow",
        "observe/runner.py",
        "GPUs that are slow one after the other are taken for one that hangs",
        "        self._extend()\n\n    def time_out",
        "\n    def time_out",
        HANG,
    ),
    reason(
        "busy: hanging driver",
        "observe/holders.py",
        "a driver that hangs counts as idle",
        'if asked["status"] == "timeout":',
        "if False:",
        HOLDERS,
    ),
    reason(
        "busy: hidden files",
        "observe/holders.py",
        "a process whose files cannot be read counts as one without",
        "if unread and (hcas or not answered):",
        "if False:",
        HOLDERS,
    ),
    reason(
        "disk: multipath",
        "observe/hardware.py",
        "a disk with multipath has no slot",
        'or _address_of_controllers(path / "device")',
        'or ""',
        ("tests/unit/lifecycle/test_hardware.py",),
    ),
]

MUTANTS = [
    *(
        Mutant(
            f"check {check}: {verdict}",
            CATALOGUE,
            f"{verdict} becomes pass",
            _PLACE,
            f'{_PLACE}    if check == "{check}" and verdict is Verdict.{verdict.upper()}:\n'
            "        verdict = Verdict.PASS\n",
            tests,
        )
        for check, (verdicts, tests) in JUDGED.items()
        for verdict in verdicts.split()
    ),
    UNREADABLE,
    *(mutant for area in areas() for mutant in getattr(area, "REASONS", ())),
    *OTHERS,
]
